"""The control room: reading → limit → command → proof."""
