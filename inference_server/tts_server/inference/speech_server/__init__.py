"""Engine client of another speech server: one outside the pod, or in another container of it.

SpeechServerClient   `EngineClient`: one exchange for each utterance, retried until the answer begins
  ConcurrencyLimit              queues utterances above `maxConcurrentRequests`
  OpenAIExchange     HTTP: `POST /v1/audio/speech`
    | DashScopeExchange   WebSocket: Sambert of Alibaba Cloud
  AudioReader        bytes -> samples, whatever the format turns out to be
  TimeStretch        changes the speed where the server cannot
faults               what went wrong, as one word each: error, sentence, metric
"""
