"""What the network can take. Pure: arrays in, arrays out; OpenDSS only behind `opendss.py`."""
