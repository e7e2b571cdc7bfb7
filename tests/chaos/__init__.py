"""Real faults on real processes: `make chaos`. Control rooms, sites, watchdog, PostgreSQL, links; killed, stopped, cut.

Needs root, PostgreSQL's server programs, iproute2, nftables and libfaketime; says what is missing and stops.
"""
