"""Synthesis: from routed utterances to the encoded audio that a client receives.

    engine (worker process)              samples of one utterance, as the engine yields them
      | frames, shared memory            `inference.worker`, `inference.wire`
    WorkerPool or RemoteEngineClient     `EngineClient`: dispatches the utterance to a free worker, checks its samples
      | samples of one utterance
    SampleStream                         one reply: its utterances in order, with pauses, ahead of playback; retry,
      |                                  fallback model
      | samples at the reply's rate
    EncodedStream                        bytes of the response format
      | parts
    CoalescedStream                      the one synthesis of all identical requests; a lone request is its only
      | parts                            subscriber
    Subscriber, CachedAudio              `AudioStream`: the audio of one request, synthesized now or cached
      | parts
    pipeline.SpeechResponse              quota and statistics of what was sent
      | bytes
    http.SpeechReply                     HTTP: whole with its length, in chunks, or as server-sent events

Readers pull: after the first part, each is encoded when a subscriber asks for it. Cancellation takes the same path
backwards: when the last subscriber closes, its utterances leave the queue, and the worker that runs one stops.

`BreakerGuard` is beside this path: it opens and closes a model's circuit breaker by how each utterance ended.
"""
