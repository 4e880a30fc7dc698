"""Makes the golden recordings anew from real runs: python tests/recordings/make.py [--read] [PYTHON ...]

With --read only the JSON beside each is written anew: for a reader that tells more, not for one that tells otherwise.
Each PYTHON (this one, by default) needs aftertrace installed. A golden recording stays when a format is left behind: it
is what shows that its readers still read it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from programs import PROGRAMS
from reading import reading

HERE = Path(__file__).parent

# Runs the program on stdin, under a name that is no machine's, inside a span, and writes its ring as one recording.
RECORD = """
import hashlib, json, struct, sys
from pathlib import Path
from aftertrace import _native
from aftertrace.wire import recording, zstd
name, level, target = sys.argv[1:]
text = sys.stdin.read()
path = f"/srv/app/{name}.py"
room = {"ring_bytes": 1 << (17 if name == "wrapped" else 20), "defs_bytes": 1 << 18}
_native.start(int(level), roots=["/srv/app/"], libraries=[], **room)
span = _native.Span("GET /golden", 2, None, {"http.request.method": "GET"}, scope="golden")
token = _native.attach(span)
space = {"__name__": name, "__file__": path}
exec(compile(text, path, "exec"), space)
_native.detach(token)
span.end()
status = _native.status()
_native.close()
assert status["doubts"] == 0 and status["lost"] == 0, status
reader = _native.Reader(_native.ring_fd())
meta = {"trace_id": format(span.trace_id, "032x"), "process_uid": reader.process_uid.hex(), "pid": reader.pid,
        "service": "golden", "resource": {"service.name": "golden"}, "python": ".".join(map(str, sys.version_info[:2])),
        "level": ["spans", "calls", "lines"][int(level)], "triggers": ["golden"], "part": 0}
slices = []
while found := reader.poll():
    slices += [(position, records) for position, owner, _, records in found if owner or name != "wrapped"]
sections = [(recording.META, json.dumps(meta).encode()), (recording.DEFINITIONS, reader.definitions())]
sections += [(recording.CLOCK, b"".join(struct.pack("<5Q", *one) for one in reader.clocks()))]
sections += [(recording.SLICE, struct.pack("<Q", position) + records) for position, records in slices]
sections += [(recording.LOSS, struct.pack("<2Q", *loss)) for loss in reader.losses()]
sections += [(recording.SOURCES, json.dumps({path: hashlib.sha256(text.encode()).hexdigest()}).encode())]
Path(target).write_bytes(zstd.compress(recording.write_sections(sections), 19))
"""


def make(python: str) -> None:
    """Runs each program with one interpreter."""
    version = subprocess.check_output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], text=True)
    for name, (level, text) in PROGRAMS.items():
        target = HERE / f"{name}-{version.strip()}.atrec.zst"
        command = [python, "-P", "-c", RECORD, name, str(level), target]
        subprocess.run(command, input=text, text=True, check=True, timeout=60)


def main() -> None:
    """Recordings, then what is read of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("python", nargs="*", default=[sys.executable])
    wanted = parser.parse_args()
    for python in () if wanted.read else wanted.python:
        make(python)
    for path in sorted(HERE.glob("*.atrec.zst")):
        text = json.dumps(reading(path.read_bytes()), ensure_ascii=True, separators=(",", ":"))
        path.with_suffix("").with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
