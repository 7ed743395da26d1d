"""Files inside of a lane: read by FileSource, written by FileSink."""
