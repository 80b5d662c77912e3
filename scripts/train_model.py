"""One rank of a training; started by torchrun, see launch_training.py."""

import logging
import os
import sys

from reset_tuning.errors import InputError
from reset_tuning.training.failures import explain, tell
from reset_tuning.training.settings import parse_job
from reset_tuning.training.worker import train


def main(options: list[str]) -> int:
    job = parse_job(options)
    # torchrun writes pages about a failed rank to stderr; what this rank says goes apart from it.
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    logging.basicConfig(format="%(message)s", stream=sys.stdout, force=True)
    logging.getLogger("reset_tuning").setLevel(logging.INFO)
    # It warns that accelerate and DeepSpeed accumulate differently; the Trainer means DeepSpeed to.
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    try:
        train(job)
    except InputError as error:
        tell(str(error))
        return 1
    except Exception as error:
        logging.exception("rank %s failed", os.environ.get("RANK"))
        if (sentence := explain(error, job)) is not None:
            tell(sentence)
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: with several ranks gloo's threads can abort a finished process on its way out.
    os._exit(status)
