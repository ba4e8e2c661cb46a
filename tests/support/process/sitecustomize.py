"""Python runs this at its start if it is on the path: processes of the tests show their stacks when they are asked."""

from stacks import show_on_signal

show_on_signal()
