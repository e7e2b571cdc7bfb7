"""V2G sites, their vehicles and the feeder as a plant: for the demo, for training and for tests."""
