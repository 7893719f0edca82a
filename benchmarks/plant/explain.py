"""One run of a scenario, fault by fault: `python -m benchmarks.plant.explain single 1 [demo] [--quick]`.

For whoever works on a detector; the seeds of HELD_OUT are not for looking at.
"""

import argparse
from collections import Counter
from collections.abc import Iterable

from benchmarks.plant.scenarios import SCENARIOS, TRAIN
from benchmarks.plant.scoring import Raised
from benchmarks.plant.watching import CONFIGS, core_of, watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("seed", type=int, choices=TRAIN)
    parser.add_argument("config", nargs="?", choices=CONFIGS, default="shipped")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    scenario = SCENARIOS[options.scenario](options.seed, quick=options.quick)
    run = watch(scenario, {"": core_of(options.config, scenario)})[""]
    score = run.score
    for each in score.outcomes:
        fault, found = each.fault, each.found
        where = f"{fault.kind} on {fault.machine} ({', '.join(fault.signals[:3])}) from {_hours(fault.start_s)}"
        what = f"grows {_hours(fault.grow_s)} to {fault.severity:g}, until {_hours(each.deadline_s)}"
        when = "MISSED" if found is None else f"after {_hours(each.delay_s)} at severity {each.severity:.2f}"
        print(f"{where}, {what}: {when}; {each.alerts} alerts, {each.repeats} repeats")
        if found is not None:
            print(f"    {found.rule} on {found.tag}: {found.message}")
    for stood in score.standing:
        print(f"{stood.kind} on {stood.machine} from {_hours(stood.start_s)}: it stood still all the while")
    print(f"{len(score.false)} false in {score.device_days:g} device-days ({score.false_per_device_day:.3f} a day):")
    _list(score.false)
    days = Counter(int(each.at_s // 86_400.0) + 1 for each in score.false)
    print(f"    by day: {', '.join(f'{day}: {days[day]}' for day in sorted(days))}")
    print(f"{len(score.consequences)} on meters of faulty machines; {run.readings} readings,", end=" ")
    print(f"{1e6 * run.agent_s / run.readings:.2f} us each")


def _list(alerts: Iterable[Raised], shown: int = 40) -> None:
    alerts = list(alerts)
    for alarm, count in Counter(each.alarm for each in alerts).most_common(shown):
        first = next(each for each in alerts if each.alarm == alarm)
        print(f"    {count} x {' '.join(alarm)}, first at {_hours(first.at_s)}: {first.message}")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600.0:.2f} h"


if __name__ == "__main__":
    main()
