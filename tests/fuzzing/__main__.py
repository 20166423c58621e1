"""`python -m tests.fuzzing [MINUTES]`: a campaign; what it finds ends it with exit code 1 (`make fuzz`)."""

import sys

from gateway.settings import ROOT
from tests.fuzzing import campaign


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    if not campaign.has_atheris():
        tell("atheris is not installed here: the parsers get hypothesis alone, which sees no coverage")
    try:
        campaign.run(minutes, ROOT / "var" / "fuzz", tell)
    except campaign.Found as found:
        tell(str(found))
        return 1
    return 0


def tell(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
