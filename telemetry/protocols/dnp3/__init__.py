"""DNP3 (IEEE 1815) to sites: points after EPRI AN2018 / IEEE 1815.2, our lease points above 50000."""
