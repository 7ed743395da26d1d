"""Three words in capitals: the smallest whole job.

python examples/hello.py                 runs in this process and prints here
streamctl submit examples/hello.py       runs on the cluster; streamctl logs hello shows what it printed
"""

from headrace.datastream import StreamExecutionEnvironment

env = StreamExecutionEnvironment.get_execution_environment()
env.from_elements("hello", "streaming", "world").map(str.upper).print()
env.execute("hello")
