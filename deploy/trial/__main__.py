"""`python -m deploy.trial`: a trial of a system that runs, with the fake provider behind it."""

import argparse
import sys

from deploy.trial.trial import TrialFailed, run_trial

TIMEOUT_S = 300
TIMEOUT_WITH_FAULTS_S = 1_500  # retries wait up to ten minutes


def main() -> int:
    """Hold a trial; exit status 0 only when everything agrees."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.trial",
        description="Sends a mailing to new sample clients, and compares what the API says with the provider's ledger.",
    )
    parser.add_argument("--api", required=True, metavar="URL", help="the API, such as http://127.0.0.1:8000")
    parser.add_argument("--provider", required=True, metavar="URL", help="the fake provider behind the senders")
    parser.add_argument("--clients", type=_count, default=1_000, help="size of the audience (%(default)s)")
    parser.add_argument("--faults", action="store_true", help="let the provider misbehave meanwhile")
    parser.add_argument("--timeout-s", type=_count, help="longest duration (300; 1500 with faults)")
    options = parser.parse_args()
    timeout_s = options.timeout_s or (TIMEOUT_WITH_FAULTS_S if options.faults else TIMEOUT_S)
    try:
        agrees = run_trial(
            options.api, options.provider, clients=options.clients, faults=options.faults, timeout_s=timeout_s
        )
    except TrialFailed as problem:
        print(f"trial: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("trial: interrupted", file=sys.stderr)
        return 130
    return 0 if agrees else 1


def _count(raw: str) -> int:
    number = int(raw)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
