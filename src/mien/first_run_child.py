"""The process of a first run: a model on stdin, limits as arguments. Run as a file, without mien."""

from __future__ import annotations

import sys
from contextlib import suppress


def run_once(model: bytes) -> None:
    """Open a model and run it on 64 images of noise."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    generator = np.random.default_rng(0)
    inputs = {
        each.name: generator.standard_normal([size if isinstance(size, int) else 64 for size in each.shape], np.float32)
        for each in session.get_inputs()
    }
    session.run(None, inputs)


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Let the system end this process, or refuse it memory, beyond the limits. Windows has no such limits."""
    if sys.platform == "win32":
        return
    import resource

    wanted = {resource.RLIMIT_CPU: cpu_seconds, resource.RLIMIT_AS: memory_bytes, resource.RLIMIT_CORE: 0}
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # Some systems, such as macOS, refuse a limit of memory; the others hold all the same.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    limit(int(sys.argv[1]), int(sys.argv[2]))
    try:
        run_once(sys.stdin.buffer.read())
    except Exception as error:  # noqa: BLE001 - the reason goes to the parent, whatever it is
        sys.stdout.buffer.write((str(error) or type(error).__name__).splitlines()[0].encode(errors="replace"))
        sys.exit(1)
