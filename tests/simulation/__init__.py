"""The control room in virtual time, with seeded faults and planted bugs: the product's own engine, books, ladder, site
leases and protocol adapters behind an injected clock, transport and store. `python -m tests.simulation` runs it long."""
