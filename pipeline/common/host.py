"""Describes the host that timings are measured on: without it, a figure in milliseconds means nothing."""

import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Required, TypedDict

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "bf16", "sve")
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")  # Linux's names of CPU features that add int8 products in 32 bits
BF16 = ("avx512_bf16", "amx_bf16", "bf16")
PACKAGES = ("torch", "torchao", "transformers", "onnxruntime", "openvino", "nncf", "numpy", "codecarbon")


class Host(TypedDict, total=False):
    """What `describe` returns, as timings.json has it; loads and uses of the CPU are of before and after a benchmark.

    `others_cpu_use`: of other processes while it ran.
    """

    name: Required[str]
    cpu: str
    cores: int
    features: list[str]
    virtualized: bool | None
    governor: str | None
    memory_gb: float
    load_before: float | None
    load_after: float | None
    cpu_use_before: float | None
    cpu_use_after: float | None
    others_cpu_use: float | None


def describe() -> dict:
    """This host: name, CPU, usable cores, CPU features that matter to int8 and bf16, frequency governor, load, ...

    `virtualized`: whether the CPU reports a virtual machine; None where its flags can't be read.
    """
    import psutil

    return {
        "name": platform.node(),
        "cpu": _cpu("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "features": features(),
        "virtualized": "hypervisor" in flags.split() if (flags := _cpu("flags")) else None,
        "governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load_before": load(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def elsewhere(recorded: dict) -> str | None:
    """How the host that `describe` recorded differs from this one, in words; None where it is this one.

    A name alone doesn't identify a host: virtual machines share theirs. So CPU, cores and features count too, where recorded.
    """
    here = describe()
    if recorded.get("name") != here["name"]:
        return f"another host ({recorded.get('name')}), not of this one ({here['name']})"
    if recorded.get("virtualized", ...) is ...:  # recorded when a host was identified by its name only
        return None
    if any(recorded.get(key) != here[key] for key in ("cpu", "cores", "features")):
        return f"another host of the same name ({kind(recorded)}), not of this one ({kind(here)})"
    return None


def kind(host: dict) -> str:
    """The part of what `describe` recorded that decides a host's speed: "AMD EPYC, 2 cores, avx2"."""
    return ", ".join([str(host.get("cpu")), f"{host.get('cores')} cores", *(host.get("features") or [])])


def instructions(features: Sequence[str]) -> str:
    """What low precision finds on a CPU with these features: "VNNI, AMX and bfloat16"; "" where they are unknown."""
    names = {"VNNI": ("avx512_vnni", "avx_vnni"), "AMX": ("amx_int8", "amx_bf16"), "bfloat16": BF16}
    found = [name for name, flags in names.items() if set(flags) & set(features)]
    if not found:
        return "AVX2 alone" if "avx2" in features else ""
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def timed_on(timings: dict) -> str:
    """What decides the speeds in timings.json. Names are left out, since each container gets a new one."""
    return f"{kind(timings['host'])}, {timings['threads']} threads"


def load() -> float:
    """The mean number of runnable processes over the last minute."""
    return round(os.getloadavg()[0], 2)


def use() -> float:
    """The fraction of all cores' time in use during one second from now; unlike the load, it ignores what ended before."""
    import psutil

    return round(psutil.cpu_percent(interval=1.0) / 100, 2)


class OthersUse:
    """The CPU time that other work takes from now on; all processes that this one starts are its own once they have ended."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._seconds()

    def fraction(self) -> float:
        """Of all cores' time since the start."""
        import psutil

        cores = psutil.cpu_count() or 1
        return round(max(0.0, self._seconds() - self._before) / (cores * (time.monotonic() - self._began)), 2)

    @staticmethod
    def _seconds() -> float:
        import psutil

        of_all, own = psutil.cpu_times(), os.times()
        used = sum(getattr(of_all, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))
        return used - own.user - own.system - own.children_user - own.children_system


def features() -> list[str]:
    """Those of FEATURES that this CPU has."""
    return [f for f in FEATURES if f in (_cpu("flags") or _cpu("Features") or "").split()]


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """The installed version of every package that figures depend on; None where it is absent."""
    return {package: installed(package) for package in packages}


def installed(package: str) -> str | None:
    """The version of a package, or of its build for GPUs (onnxruntime-gpu), which takes its place; None where it is absent."""
    for name in (package, f"{package}-gpu"):
        with suppress(PackageNotFoundError):
            return version(name)
    return None


def _cpu(key: str) -> str | None:
    """One field of the first processor in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((value.strip() for name, _, value in (line.partition(":") for line in lines) if name.strip() == key), None)


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
