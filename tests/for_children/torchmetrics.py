"""Not for commands that tests start: Fabric imports torchmetrics where it is, and with it scipy and matplotlib."""

raise ImportError("it is left out of the processes that tests start: tests/conftest.py")
