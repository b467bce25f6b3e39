"""The command line, the outermost layer: it may import everything, nothing imports it.

Each command stands in a module of its wing and is imported when it is called, so that it pays only for what it uses.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import sys
from contextlib import suppress
from typing import NoReturn

from cyclopts import CycloptsError

import digits
from digits.cli.help import Commands
from digits.errors import DigitsError
from digits.settings import GARBAGE_THRESHOLD, prepare_environment

__all__ = ["app", "main"]

app = Commands(
    name="digits",
    version=digits.__version__,
    help="From images of handwritten digits to a registered champion.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says that the work can go on
)
app.command("digits.cli.run:run", help="Run the whole line for a dataset: from images to a registered version.")
app.command("digits.cli.data:ingest", help="Ingest a dataset's images from their source into a snapshot.")
app.command("digits.cli.data:validate", help="Hold a dataset's snapshot against its contract.")
app.command("digits.cli.data:split", help="Split a dataset's rows into train, validation and test.")
app.command("digits.cli.candidates:fit", help="Fit one family, unless its result is remembered.")
app.command("digits.cli.candidates:evaluate", help="Score the candidates on the test split and rank them.")
app.command("digits.cli.candidates:register", help="Register the best candidate as a version.")
app.command("digits.cli.candidates:leaderboard", help="Show the last evaluation.")
app.command("digits.cli.registry:app", name="registry", help="Registered versions: promote, roll back, history.")
app.command("digits.cli.explain:explain", help="Say what a run would reuse or train, and why.")
app.command("digits.cli.tune:tune", help="Look for better hyper-parameters of a family.")
app.command("digits.cli.replay:replay", help="Do a recorded fit once more and compare what comes out.")
app.command("digits.cli.reference:reference", help="Do the systems of five tutorials again, beside ours.")
app.command("digits.cli.garbage:gc", help="Remove what nothing refers to any more.")
app.command("digits.cli.predict:predict", help="Read pictures of single digits with the production version.")
app.command("digits.cli.servers:up", help="Start Prefect, MLflow and a worker on this machine.")
app.command("digits.cli.servers:status", help="Show whether they are healthy.")
app.command("digits.cli.servers:down", help="End them.")
app.command("digits.cli.deploy:deploy", help="Tell Prefect what runs when: the deployments of prefect.yaml.")
app.command("digits.cli.ui:ui", help="Open the MLflow UI on this project's experiments.")
app.command("digits.cli.bench:app", name="bench", help="Measure the pipeline on this machine.")

INTERRUPTED = 130

#: What the system refuses for reasons that people can mend; any other `OSError` is a bug, and shows its traceback.
_REFUSALS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})

#: What NumPy says of an array for which there was no room: its error has no number.
_HALF_WRITTEN = re.compile(r"\d+ requested and \d+ written")


def main() -> NoReturn:
    """Run the command line; an error of `digits.errors`, or of what was typed, is one line, never a traceback."""
    prepare_environment()
    # The libraries' millions of objects stay until the end: looking for garbage among them takes a second each time.
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        app(sys.argv[1:], print_error=False, exit_on_error=False)
        code = 0
    except CycloptsError as error:
        names = " ".join(("digits", *(error.command_chain or ())))
        sys.stderr.write(f"digits: {' '.join(str(error).split())} See `{names} --help`.\n")
        code = 1
    except DigitsError as error:
        sys.stderr.write(f"digits: {' '.join(str(error).split())}\n")
        code = error.exit_code
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            sys.stderr.write("digits: interrupted; the next run goes on from here\n")
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno not in _REFUSALS and not _HALF_WRITTEN.fullmatch(str(error)):
            raise
        sys.stderr.write(f"digits: the system refuses: {error}; is the disk full, or the folder not writable?\n")
        code = 1
    finally:
        gc.freeze()
    sys.exit(code)
