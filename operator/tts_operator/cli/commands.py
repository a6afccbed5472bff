"""The commands of `kubectl tts`, in the order of its help."""

from tts_operator.cli.command import Command

COMMANDS = (
    Command(
        "status",
        "Show every tenant on a line, those with problems first.",
        "Show every tenant of a namespace, or of all, on a line: whether it is ready, the window of its schedule, its"
        " replicas within their bounds, the next window, and the cost of an hour. Those that are not ready come first.",
        "kubectl tts status -A",
        "status_command",
    ),
    Command(
        "why",
        "Show on one page why a tenant is not ready.",
        "Show the condition Ready of a tenant with what to do, and on the same page its other conditions that tell"
        " something, its pools, pods and latest events.",
        "kubectl tts why acme -n team-acme",
        "why_command",
    ),
    Command(
        "console",
        "Open a web page with all tenants, their calendars, rollouts and voices.",
        "Serve a web page on this machine, over your own kubeconfig: a live table of tenants with their calendars,"
        " rollouts, a page for each tenant with a playground, and the voices. Nothing of it runs in the cluster. The"
        " address holds a token that changes with each start.",
        "kubectl tts console -n team-acme",
        "console_command",
    ),
    Command(
        "top",
        "Show requests, P95, refusals, quota and cost of every tenant, live.",
        "Show requests per second, P95, refusals with 429, what is left of limits, and the cost of every tenant, from"
        " the metrics of its pods. Without the right to reach pods it shows what the status has.",
        "kubectl tts top -A",
        "top_command",
    ),
    Command(
        "say",
        "Speak a text with a tenant's endpoint.",
        "Send a text to a tenant's Service through kubectl port-forward, and write the audio to a file or play it.",
        'kubectl tts say acme "Good morning." -n team-acme -o morning.mp3',
        "say_command",
        epilog="The key is read from TTS_API_KEY without --key: the cluster has only hashes of keys. Exits with 4 where"
        " the endpoint refuses for now: 429, no replicas.",
    ),
    Command(
        "voices",
        "List the voices of all models, with a command to listen to each.",
        "List the voices of the cluster's TTSModels: language, gender, licence, and a command that plays a sentence.",
        "kubectl tts voices --language zh",
        "voices_command",
    ),
    Command(
        "schedule",
        "Show when a tenant's schedule changes its replica bounds.",
        "Show the window and the replica bounds that hold at --from, and every change before --to.",
        "kubectl tts schedule -f tenant.yaml --from 2026-11-11T00:00:00+08:00",
        "schedule_command",
    ),
    Command(
        "plan",
        "Show what a tenant's schedule carries and costs, and what would cost less.",
        "Show every window of a week with its bounds, its load and the P95 of its requests, the cost of the month, and"
        " the cheapest precision and replicas that carry the traffic. Requests are simulated with the"
        " requestsPerSecond, quality and hourlyCost of the TTSModel.",
        "kubectl tts plan -f tenant.yaml -f model.yaml --requests-per-second 20 --quality-floor 9",
        "plan_command",
        epilog="Exits with 3 if there is traffic and no precision can be recommended for it.",
    ),
    Command(
        "bill",
        "Show what tenants cost and used between two days.",
        "Show for each tenant what its replicas cost between two days of UTC, by their history in Prometheus, and what"
        " it used: requests, characters and audio. The columns of csv are those of FOCUS 1.2.",
        "kubectl tts bill -A --from 2026-11-01 --to 2026-12-01 --prometheus monitoring/prometheus-operated:9090",
        "bill_command",
        epilog="The last line, on standard error, says what the figures are based on.",
    ),
    Command(
        "override",
        "Set other replica bounds for a limited time.",
        "Set replica bounds of a tenant that take precedence over its calendar for a time. They end by themselves.",
        "kubectl tts override acme -n team-acme --min 6 --max 20 --for 2h",
        "override_command",
    ),
    Command(
        "suspend",
        "Scale a tenant to zero replicas until it is resumed.",
        "Set spec.suspend of a tenant: its replicas end, its other objects stay.",
        "kubectl tts suspend acme -n team-acme",
        "suspend_command",
    ),
    Command(
        "resume",
        "End the suspension of a tenant.",
        "Unset spec.suspend of a tenant: its schedule applies again.",
        "kubectl tts resume acme -n team-acme",
        "resume_command",
    ),
    Command(
        "rollout",
        "Show, pause or resume the rollouts of models.",
        "Show how far the last change of each TTSModel has got, and what holds it; pause it for tenants that have not"
        " started, or let it go on.",
        "kubectl tts rollout pause kokoro",
        "rollout_command",
    ),
    Command(
        "keys",
        "List, create and revoke API keys of a tenant.",
        "List, create and revoke the API keys of a tenant. A key is shown once, when it is created: the cluster has"
        " only its hash.",
        "kubectl tts keys create acme -n team-acme --name laptop",
        "keys_command",
    ),
    Command(
        "keygen",
        "Make an API key, and add its hash to the Secret that the tenant reads.",
        "Make an API key, add its SHA-256 to the Secret that the tenant reads, and print the key to standard output."
        " The other keys of the Secret stay. With -o yaml: print the key to standard error and a Secret with its"
        " SHA-256 to standard output, without a cluster.",
        "kubectl tts keygen --tenant acme -n team-acme --name laptop",
        "keygen_command",
    ),
    Command(
        "check",
        "Check whether a cluster is fit for TTS Fleet.",
        "Check what TTS Fleet needs of a cluster, and what some of its features need: each line is ok, warn or fail,"
        " with what to do.",
        "kubectl tts check",
        "check_command",
        epilog="Exits with 3 if a line is fail.",
    ),
    Command(
        "completion",
        "Print a script that completes commands and flags in a shell.",
        "Print a script for bash, zsh or fish that completes commands, flags and names of tenants.",
        "source <(kubectl tts completion bash)",
        "completion_command",
    ),
)
