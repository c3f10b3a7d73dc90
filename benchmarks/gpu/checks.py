"""Tests that need a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu.record import CHECKOUT, Record, without_paths
from benchmarks.gpu.setting import Setting

FILES = ("tests/metrics/test_metrics.py", "tests/test_gpu.py")
"""Files with tests marked ``gpu``; other test files need packages that the benchmark does not."""


def run(record: Record, setting: Setting) -> None:
    """Describe the device and run the tests."""
    record.measure("device", setting.hardware.describe)
    record.measure("tests", lambda: tests(setting.work / "tests.xml", record.left()))
    record.measure("device afterwards", setting.hardware.describe)


def tests(report: Path, seconds: float) -> dict[str, Any]:
    """Run the tests, and return their number by outcome and the messages of failures.

    Args:
        report: Path of the JUnit XML report to write.
        seconds: Time limit.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-v", *FILES]
    try:
        process = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=max(seconds, 1.0)
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"pytest was stopped: {(error.stdout or b'').decode()[-2000:]}") from None
    if not report.is_file():
        raise RuntimeError(f"pytest ended with {process.returncode}: {(process.stdout + process.stderr)[-2000:]}")
    suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    messages = {}
    for case in suite.iter("testcase"):
        for kind in ("failure", "error"):
            if (fault := case.find(kind)) is not None:
                text = without_paths(fault.text or fault.get("message"))
                messages[f"{case.get('classname')}.{case.get('name')}"] = text[-3000:]
    return {"passed": counts["tests"] - sum(list(counts.values())[1:]), **counts, "said": messages}
