"""Children without network and without write access, in which feeder models are compiled and solved."""
