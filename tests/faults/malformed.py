"""`make test-faults`: thousands of malformed inputs to every reader; commands end with 0 or 2 and one line.

Not part of `make test`, which tries a few of them. SPF_FUZZ_COUNT is their number, SPF_FUZZ_SEED the seed;
SPF_FUZZ_ONLY=17,42 makes these inputs again and leaves their folders.
"""

import os
import time

import pytest
from fuzzing.campaign import Attempt, Campaign, counted, machine_of_its_own, report
from fuzzing.runs import costly_specimens
from fuzzing.specimens import cheap_specimens

COUNT = int(os.environ.get("SPF_FUZZ_COUNT", "5000"))
SEED = int(os.environ.get("SPF_FUZZ_SEED", "0"))
ONLY = [int(number) for number in os.environ.get("SPF_FUZZ_ONLY", "").split(",") if number]


def test_no_malformed_input_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory) -> None:
    attempts: list[Attempt] = []
    with machine_of_its_own(tmp_path_factory.mktemp("machine")):
        home = tmp_path_factory.mktemp("specimens")
        specimens = [*cheap_specimens(home), *costly_specimens(home)]
        campaign, started = Campaign(specimens, SEED, tmp_path_factory.mktemp("inputs")), time.perf_counter()
        for number in ONLY or range(COUNT):
            attempts.append(campaign.attempt(number))
            if ONLY:
                print(attempts[-1], *attempts[-1].faults, attempts[-1].ended.err, sep="\n")
            elif number % 250 == 249:
                print(f"{number + 1} inputs, {time.perf_counter() - started:.0f} s")
    print(counted(attempts))
    failed = [attempt for attempt in attempts if attempt.faults]
    if failed:
        told = report(failed, seed=SEED, tried=len(attempts))
        pytest.fail(f"{told}\nfolders: {campaign.home}", pytrace=False)
