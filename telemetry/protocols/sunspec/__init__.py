"""SunSpec Modbus to sites: models 701, 702, 704, 713, 715; pymodbus moves the bytes, pysunspec2 knows the models."""
