"""Checks the workflow files: valid YAML, known keys, and the same test command as the README."""

import pathlib
import subprocess
import sys

try:
    import yaml
except ImportError:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "pyyaml"], check=True)
    import yaml

root = pathlib.Path(__file__).resolve().parent.parent
problems = []
files = sorted((root / ".github" / "workflows").glob("*.yml"))
if not files:
    problems.append("there is no workflow")
for file in files:
    document = yaml.safe_load(file.read_text())
    # YAML 1.1 reads the key `on` as a boolean.
    if True in document:
        document["on"] = document.pop(True)
    unknown = set(document) - {"name", "on", "permissions", "concurrency", "env", "jobs", "defaults"}
    if unknown:
        problems.append(f"{file.name}: unknown keys {sorted(map(str, unknown))}")
    for job, body in document.get("jobs", {}).items():
        if "runs-on" not in body:
            problems.append(f"{file.name}: job {job} has no runs-on")
        for step in body.get("steps", []):
            if ("run" in step) == ("uses" in step):
                problems.append(f"{file.name}: job {job}: a step needs one of run and uses")
command = ".ci/test"
if command not in (root / "README.md").read_text():
    problems.append(f"README.md does not name the test command {command}")
if not any(command in file.read_text() or ".ci/run" in file.read_text() for file in files):
    problems.append("no workflow runs the test command")
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
