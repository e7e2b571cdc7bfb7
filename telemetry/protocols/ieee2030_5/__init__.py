"""IEEE 2030.5 utility server: CSIP-AUS and CSIP. Pure XML and event rules inside; TLS, database and queue outside."""
