"""The command; `--help` lists its options."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import NodeError
from tests.recovery import namespaces
from tests.recovery.cluster import Cluster, LocalNodes, local_actions
from tests.recovery.namespaces import Namespaces
from tests.recovery.network import Network
from tests.recovery.operator import OperatorNodes
from tests.recovery.proxy import Proxy
from tests.recovery.scripts import FOUR, SCRIPTS, Script
from tests.recovery.stage import Sizes, Stage
from tests.recovery.verdict import Verdict

RECOVER_S = 120.0
PASSED, FAILED, WRONG_USE = 0, 1, 2


def main() -> int:
    """Run what was asked for; returns the exit code."""
    options = _parser().parse_args()
    if options.list:
        for script in _existing():
            print(f"{script.name:<14}{'*' if script.short else ' '} {script.text}")
        print("* also part of every test run")
        return PASSED
    chosen = _chosen(options)
    if not chosen:
        print("name one or more scripts, or give --all; --list shows them", file=sys.stderr)
        return WRONG_USE
    if not options.cluster and not options.proxy and not namespaces.is_inside():
        command = namespaces.entry()
        if command is not None:
            namespaces.run_inside(command)
        print("network namespaces are not permitted here: using the user-space proxy", flush=True)
    verdicts = [_run(script, options) for script in chosen]
    failed = [verdict.script for verdict in verdicts if not verdict.passed]
    last = f"VERDICT: {len(verdicts) - len(failed)} of {len(verdicts)} scripts passed" + (
        f"; failed: {', '.join(failed)}" if failed else ""
    )
    print(last)
    return FAILED if failed else PASSED


def _run(script: Script, options: argparse.Namespace) -> Verdict:
    sizes = Sizes(
        options.seconds or script.seconds, options.records or script.records, options.recover_s
    )
    verdict = Verdict(script.name, "")
    started_s = time.monotonic()
    with _cluster(script, options, verdict) as cluster:
        verdict.cluster = cluster.described
        stage = Stage(cluster, sizes, verdict)
        try:
            if script.started is None:
                stage.wait_alive()
            script.run(stage)
            stage.conclude()
        except (NodeError, RuntimeError, subprocess.SubprocessError) as error:
            verdict.problems.append(f"the script ended early: {type(error).__name__}: {error}")
    verdict.seconds = time.monotonic() - started_s
    text = json.dumps(verdict.to_plain()) if options.json else "\n".join(verdict.lines())
    print(text, flush=True)
    return verdict


@contextmanager
def _cluster(script: Script, options: argparse.Namespace, verdict: Verdict) -> Iterator[Cluster]:
    if options.cluster:
        theirs = OperatorNodes(options.cluster)
        try:
            yield theirs
        finally:
            theirs.close()
        return
    with tempfile.TemporaryDirectory(prefix="zring-recovery-") as folder:
        ours = LocalNodes(_network(options, lambda: ours.process_ids()), Path(folder), FOUR)
        try:
            if script.started is None:
                ours.start_all()
            else:
                for name in FOUR[: script.started]:
                    ours.start(name)
            yield ours
        finally:
            ours.close()
            for name, log in ours.logs().items():
                text = log.read_text(errors="replace") if log.exists() else ""
                if "Traceback" in text:
                    at = text.index("Traceback")
                    verdict.problems.append(f"log of {name}: {text[at : at + 2_000]}")
                if options.logs:
                    options.logs.mkdir(parents=True, exist_ok=True)
                    (options.logs / f"{script.name}-{name}.log").write_text(text)


def _network(options: argparse.Namespace, process_ids: "object") -> Network:
    if namespaces.is_inside():
        return Namespaces()
    return Proxy(
        process_ids,  # type: ignore[arg-type]
        delay_s=options.link_delay_ms / 1_000,
        bytes_per_s=options.link_bytes_per_s,
    )


def _existing() -> list[Script]:
    return [script for script in SCRIPTS if script.exists()]


def _chosen(options: argparse.Namespace) -> list[Script]:
    known = {script.name: script for script in _existing()}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"no script is named {', '.join(unknown)}; --list shows them", file=sys.stderr)
        return []
    chosen = list(known.values()) if options.all else [known[name] for name in options.names]
    able = OperatorNodes(options.cluster).actions if options.cluster else local_actions()
    able_chosen = []
    for script in chosen:
        if lacking := sorted(script.needs - able):
            print(f"left out {script.name}: not possible here: {', '.join(lacking)}")
        elif options.cluster and script.started is not None:
            print(f"left out {script.name}: it begins with nodes that never ran")
        else:
            able_chosen.append(script)
    return able_chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.recovery", description="Break a cluster, heal it, and judge what it did."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts to run")
    parser.add_argument("--list", action="store_true", help="show the scripts")
    parser.add_argument("--all", action="store_true", help="run all of them")
    parser.add_argument("--json", action="store_true", help="one JSON object for each script")
    parser.add_argument("--cluster", type=Path, metavar="FILE", help="an own test cluster (TOML)")
    parser.add_argument("--seconds", type=float, help="how long the fault lasts, under load")
    parser.add_argument("--records", type=int, help="records of each script")
    parser.add_argument(
        "--recover-s", type=float, default=RECOVER_S, help="longest time to recover (%(default)s)"
    )
    parser.add_argument("--proxy", action="store_true", help="cut links by the user-space proxy")
    parser.add_argument("--link-delay-ms", type=float, default=0.0, help="with --proxy")
    parser.add_argument("--link-bytes-per-s", type=float, default=0.0, help="with --proxy")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep what the nodes said")
    return parser


if __name__ == "__main__":
    sys.exit(main())
