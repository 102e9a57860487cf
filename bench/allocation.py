"""Published problems: what we find, what we prove, what is known, in how many seconds of CPU.

Run: `python bench/allocation.py [--data FOLDER] [--kind KIND] [--steps N] [--solver SECONDS] [--json]`.

FOLDER has an `answers.json` whose `cases` name each a kind, mostly a file, and the best value known; without it, that
of the published data in $CONCERTED_DATA, or in shared/data beside the checkout.  Our own search comes first, with a
budget of steps; where it has not proved its answer, HiGHS looks for so many seconds more, if it or scipy is installed.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from beside import bbob, told_in_words, tsplib, vehicles

from concerted.allocation.market.bids import Bid, Terms
from concerted.allocation.market.market import clear
from concerted.allocation.optimum.assignment import UNASSIGNED
from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.generalised import assign_generalised
from concerted.allocation.optimum.one_to_one import match
from concerted.allocation.optimum.packing import pack
from concerted.groups.bargaining import rubinstein
from concerted.groups.shapley import banzhaf_index, shapley, shapley_shubik
from concerted.groups.stability import nucleolus
from concerted.groups.structures import best_structure
from concerted.swarm.pheromones import Colony
from concerted.swarm.search import Search
from concerted.swarm.space import Space
from concerted.swarm.tours import Map
from concerted.values import AgentId, Task, TaskId

STEPS = {"gap-min": 8_000_000, "cats-wdp-max": 25_000_000, "cvrp": 25_000_000, "bbob": 100_000}
SOLVER_S = {"gap-min": 0.0, "cats-wdp-max": 4.0}
TRIP_S = 3.0
BLACK_BOX_GAP = 1e-8  # to the least value, at which a search is over
# the first that a case has
KNOWN = (
    "optimum", "best_known", "best_seen", "payment", "payments", "first_mover_share", "answers", "f_opt",
)  # fmt: skip

Case = dict[str, Any]
Found = tuple[Any, str, Any]  # value, status, bound
Solve = Callable[[], Found] | str  # how a case is solved, or why it is not


@dataclass
class Line:
    """What came of one case.  cpu_s: of the search alone, without reading the file."""

    kind: str
    file: str
    value: Any
    status: str
    bound: Any
    known: Any
    cpu_s: float

    def in_columns(self) -> str:
        cells = [self.kind, self.file, _shown(self.value), self.status, _shown(self.bound), _shown(self.known)]
        ratio = f"{self.value / self.known:.5f}" if _number(self.value) and _number(self.known) and self.known else ""
        if self.kind == "bbob":  # values may be near 0 or below
            ratio = f"+{self.value - self.known:.1e}"
        widths = (22, 36, 16, 9, 16, 16)
        return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + (
            f" {ratio:>8} {self.cpu_s:8.3f} s"
        )


def main() -> int:
    """Run the cases one after the other and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="a folder with an answers.json")
    parser.add_argument("--kind", help="cases of this kind alone")
    parser.add_argument("--steps", type=int, help="the budget of our own search")
    parser.add_argument("--solver", type=float, help="for how many seconds HiGHS may look as well")
    parser.add_argument("--json", action="store_true", help="one JSON object for each case")
    wants = parser.parse_args()
    folder = wants.data or _published()
    if not (folder / "answers.json").is_file():
        print(f"{folder} has no answers.json: name a folder with --data")
        return 2 if wants.data else 0
    match(np.zeros((1, 1)))  # load what is loaded on first use
    cases = json.loads((folder / "answers.json").read_text("utf-8"))["cases"]
    for case in cases:
        if wants.kind in (None, case["kind"]):
            line = _run(case, folder, wants)
            print(json.dumps(asdict(line)) if wants.json else line.in_columns(), flush=True)
    return 0


def _published() -> Path:
    named = os.environ.get("CONCERTED_DATA")
    return (Path(named) if named else Path(__file__).parents[2] / "shared" / "data") / "allocation"


def _run(case: Case, folder: Path, wants: argparse.Namespace) -> Line:
    kind, file = case["kind"], case.get("file") or case.get("name", "")
    known = next((case[name] for name in KNOWN if case.get(name) is not None), None)
    if kind == "bbob":
        file = f"f{case['fid']}, instance {case['instance']}"
    steps, solver_s = wants.steps or STEPS.get(kind, 1), SOLVER_S.get(kind, 0.0)
    effort = Effort(steps, solver_s=solver_s if wants.solver is None else wants.solver)
    reader = READERS.get(kind)
    search = reader(case, folder, effort) if reader else f"we solve no {kind}"
    if isinstance(search, str):
        return Line(kind, file, None, f"not run: {search}", None, known, 0.0)
    began = time.process_time()
    value, status, bound = search()
    return Line(kind, file, value, status, bound, known, time.process_time() - began)


# One reader for each kind: it reads the problem and returns how it is solved


def _assignment(case: Case, folder: Path, _effort: Effort) -> Callable[[], Found]:
    """Lowest cost: n, then n x n costs."""
    count, *costs = map(float, _text(folder / case["file"]).split())
    matrix = np.array(costs).reshape(int(count), int(count))

    def search() -> Found:
        value = matrix[np.arange(len(matrix)), match(matrix)].sum().item()
        return value, "optimal", value

    return search


def _generalised(case: Case, folder: Path, effort: Effort) -> Callable[[], Found]:
    """Lowest cost: agents, tasks, costs by agent, sizes by agent, room by agent."""
    numbers = np.array(_text(folder / case["file"]).split(), np.int64)
    agents, tasks = numbers[:2].tolist()
    costs, sizes = numbers[2 : 2 + 2 * agents * tasks].reshape(2, agents, tasks)
    skip = np.full(tasks, 1 + costs.max(initial=0) * tasks)

    def search() -> Found:
        found = assign_generalised(costs.T, sizes.T, numbers[2 + 2 * agents * tasks :], skip, effort)
        if UNASSIGNED in found.column_of:
            return None, "no room found for all", found.bound
        return found.cost, found.status, found.bound

    return search


def _combinatorial(case: Case, folder: Path, effort: Effort) -> Callable[[], Found]:
    """Highest value, as CATS writes it: a line for each bid, with its number, price and goods."""
    lines = (line.split() for line in _text(folder / case["file"]).splitlines())
    bids = [line for line in lines if line and line[0].isdigit()]
    wanted: dict[str, list[int]] = {}
    for at, bid in enumerate(bids):
        for good in bid[2 : bid.index("#")]:
            wanted.setdefault(good, []).append(at)
    prices = np.array([float(bid[1]) for bid in bids])
    scale = next(10**digits for digits in range(6, -1, -1) if prices.sum() * 10**digits < 2**57)

    def search() -> Found:
        found = pack(np.rint(prices * scale).astype(np.int64), list(wanted.values()), effort=effort)
        return found.value / scale, found.status, found.bound / scale

    return search


def _auction(case: Case, _folder: Path, _effort: Effort) -> Solve:
    """Return what the winners pay or are paid, by VCG: of one thing in a sale or a procurement, or of equal things."""
    thing, named = TaskId("thing"), re.search(r"asks ([\d,]+)", case["name"])
    terms, several = Terms(direction="sale"), isinstance(case.get("bids"), str)
    tasks = [Task(id=thing)]
    if isinstance(case.get("bids"), dict):
        bids = [Bid(agent=AgentId(name), tasks=(thing,), price=float(price)) for name, price in case["bids"].items()]
    elif several:
        bids = told_in_words.bundle_bids(case["bids"])
        tasks = [Task(id=one) for one in sorted({task for bid in bids for task in bid.tasks})]
    elif named:
        asks = [float(price) for price in named[1].split(",")]
        tasks, terms = [Task(id=thing, max_budget=sum(asks))], Terms(surplus=True)
        bids = [Bid(agent=AgentId(f"asks {ask:g}"), tasks=(thing,), price=ask) for ask in asks]
    else:
        return "its bids are told in words that this script does not read"

    def search() -> Found:
        clearing = clear(tasks, bids, "combinatorial" if several else "one_to_one", "vcg", terms)
        paid = {award.bid.agent: round(award.paid, 9) for award in clearing.awards}
        return dict(sorted(paid.items())) if several else next(iter(paid.values())), clearing.status, None

    return search


def _structure(case: Case, folder: Path, _effort: Effort) -> Callable[[], Found]:
    """Highest worth: a line for each coalition, by bit mask."""
    lines = _text(folder / case["file"]).splitlines()
    table = np.array([float(line) for line in lines if line and not line.startswith("#")])

    def search() -> Found:
        found = best_structure(table)
        return found.worth, found.status, found.bound

    return search


def _game(case: Case, _folder: Path, _effort: Effort) -> Solve:
    """Return what is asked for; coalitions come by size, then by members, or are told in words."""
    if case["order"] == "lex":
        count = (len(case["values"]) + 1).bit_length() - 1
        coalitions = [team for size in range(1, count + 1) for team in combinations(range(count), size)]
        table = np.zeros(1 << count)
        for team, worth in zip(coalitions, case["values"], strict=True):
            table[sum(1 << member for member in team)] = worth
    else:
        table = told_in_words.game(case["name"])
        if table is None:
            return "its worths are told in words that this script does not read"
    methods = {
        "shapley": lambda: shapley(table), "nucleolus": lambda: nucleolus(table),
        "prenucleolus": lambda: nucleolus(table, "preimputations"), "banzhaf_normalised": lambda: banzhaf_index(table),
        "shapley_shubik": lambda: shapley_shubik(table), "shapley_shubik_3dp": lambda: shapley_shubik(table),
    }  # fmt: skip
    asked = [name for name in case["answers"] if name in methods]
    if not asked:
        return f"we have no {', '.join(name for name in case['answers'] if name != 'note')}"
    return lambda: ({name: _shares(methods[name]()) for name in asked}, "optimal", None)


def _round_trip(case: Case, folder: Path, _effort: Effort) -> Callable[[], Found]:
    """Shortest round trip, as TSPLIB writes it, by ants for TRIP_S of CPU; they prove nothing."""
    where = Map(tsplib.read(folder / case["file"]))

    def search() -> Found:
        began, colony = time.process_time(), Colony(where, 0)
        while colony.length > case["optimum"] and time.process_time() - began < TRIP_S:
            colony.run(1)
        return where.length(colony.order), "feasible", None

    return search


def _vehicles(case: Case, folder: Path, effort: Effort) -> Solve:
    """Shortest routes of vehicles with room for so much, as TSPLIB writes it; nothing is proved."""
    distances = tsplib.read(folder / case["file"])
    wanted, room = vehicles.demands(folder / case["file"])

    def search() -> Found:
        found = vehicles.routes(distances, wanted, room, effort)
        assert sorted(stop for route in found for stop in route) == list(range(1, len(distances)))
        assert all(sum(wanted[stop] for stop in route) <= room for route in found)
        return sum(vehicles.length(route, distances) for route in found), "feasible", None

    return search


def _black_box(case: Case, _folder: Path, effort: Effort) -> Solve:
    """Least value of a function of the black-box benchmark, by the search of swarms; at most so many evaluations."""
    function = bbob.function(case["fid"], case["instance"], case["x_opt"])
    space = Space.of({f"x{place}": {"float": [-5, 5]} for place in range(case["dim"])})

    def search() -> Found:
        swarm = Search(space, seed=0, budget=effort.steps)
        while swarm.told < effort.steps and (swarm.best is None or swarm.best.value > BLACK_BOX_GAP):
            batch = swarm.ask_all(swarm.population)
            swarm.tell_all(batch, function(swarm.numbers(batch)))
        assert swarm.best is not None
        return case["f_opt"] + swarm.best.value, "feasible", None

    return search


def _bargain(case: Case, _folder: Path, _effort: Effort) -> Callable[[], Found]:
    """Return what the first of two gets who make offers in turn, by their discounts."""
    discounts = [float(text) for text in re.findall(r"=(\d*\.\d+)", case["name"])] * 2
    return lambda: (round(rubinstein(1.0, discounts[:2])[0], 6), "optimal", None)


READERS: dict[str, Callable[[Case, Path, Effort], Solve]] = {
    "assignment": _assignment,
    "gap-min": _generalised,
    "cats-wdp-max": _combinatorial,
    "auction": _auction,
    "coalition-structure-max": _structure,
    "tu-game": _game,
    "tsp": _round_trip,
    "cvrp": _vehicles,
    "bbob": _black_box,
    "bargaining": _bargain,
}


def _text(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def _shares(found: Any) -> list[float]:
    return [round(float(share), 9) for share in getattr(found, "shares", found)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.12g}" if _number(value) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
