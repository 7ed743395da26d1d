"""Counts words as they come: every word with its count so far.

    python examples/word_count.py                                     a few lines of its own
    python examples/word_count.py --input README.md --output counts   a file or a folder, into a folder
    streamctl submit examples/word_count.py -p 2                      on the cluster, then: streamctl logs word-count

On a cluster every TaskManager must see the same files under the paths that are named.
"""

import argparse
import re

from headrace.common import Encoder, Types, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.connectors.file_system import FileSink, FileSource, StreamFormat

LINES = [
    "To be, or not to be, that is the question:",
    "Whether 'tis nobler in the mind to suffer",
    "The slings and arrows of outrageous fortune,",
    "Or to take arms against a sea of troubles",
]


def words(line):
    return [(word, 1) for word in re.findall(r"\w+", line.lower())]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", metavar="PATH", help="a file or a folder of text")
    parser.add_argument("--output", metavar="FOLDER", help="where files of results go; else they are printed")
    paths = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    if paths.input:
        source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), paths.input).build()
        lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "text")
    else:
        lines = env.from_collection(LINES)

    counts = lines.flat_map(words).key_by(lambda pair: pair[0], key_type=Types.STRING()).sum(1)

    if paths.output:
        sink = FileSink.for_row_format(paths.output, Encoder.simple_string_encoder()).build()
        counts.map(lambda pair: f"{pair[0]} {pair[1]}").sink_to(sink)
    else:
        counts.print()
    env.execute("word-count")


if __name__ == "__main__":
    main()
