"""The command line's own doings, before any command's."""

import os
import subprocess
import sys

import pytest

_TELL = """
import sys
from livehead.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
import numpy, os
numpy.ones((700, 700)) @ numpy.ones((700, 700))
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux lists them")
@pytest.mark.parametrize(("wished", "threads"), [(None, 1), ("2", 2)])
def test_numpy_works_on_one_thread_unless_the_user_wants_more(wished, threads):
    if (os.cpu_count() or 1) < threads:
        pytest.skip("needs two cores")
    env = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    env |= {} if wished is None else {"OPENBLAS_NUM_THREADS": wished}
    done = subprocess.run([sys.executable, "-c", _TELL], capture_output=True, text=True, check=True, env=env)
    assert int(done.stdout.splitlines()[-1]) == threads
