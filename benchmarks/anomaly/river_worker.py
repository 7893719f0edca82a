"""river's HalfSpaceTrees, 10 trees of height 8 on one feature, in its own environment: prints its CPU us a reading."""

import random
import sys
import time

from river.anomaly import HalfSpaceTrees


def main() -> None:
    count, runs = int(sys.argv[1]), int(sys.argv[2])
    source = random.Random(1)
    features = [{"x": min(1.0, max(0.0, source.gauss(0.5, 0.1)))} for _ in range(count)]
    times_us = []
    for _ in range(runs):
        trees = HalfSpaceTrees(n_trees=10, height=8, seed=1)
        began = time.process_time()
        for feature in features:
            trees.score_one(feature)
            trees.learn_one(feature)
        times_us.append((time.process_time() - began) / count * 1e6)
    print(min(times_us))


if __name__ == "__main__":
    main()
