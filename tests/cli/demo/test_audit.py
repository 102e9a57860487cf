"""The demo's measures, on files whose numbers can be counted by eye."""

from pathlib import Path

from concerted.cli.demo.audit import REPORT, FileSize, Report, audit_files, find_tasks, merge, stdlib

SOURCE = """\
class Shop:
    def sell(self, things):
        for thing in things:
            if thing and thing.price or self.free:
                yield thing

    async def close(self):
        def lock(door):
            while not door.locked:
                door.lock()
        try:
            return [lock(door) for door in self.doors if door.open if door.mine]
        except OSError:
            return 1 if self.force else 0


def one(): return 1
"""


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def test_each_function_has_its_own_complexity(tmp_path: Path) -> None:
    write(tmp_path, shop=SOURCE)

    report = audit_files(tmp_path, [tmp_path / "shop.py"])

    found = {one.name: (one.complexity, one.lines, one.line) for one in report.most_complex}
    assert found == {
        "Shop.sell": (5, 4, 2),
        "Shop.close": (6, 8, 7),
        "Shop.close.lock": (2, 3, 8),
        "one": (1, 1, 17),
    }
    assert (report.files, report.lines, report.functions, report.classes, report.complexity) == (1, 17, 4, 1, 14)
    assert [one.name for one in report.longest_functions][:2] == ["Shop.close", "Shop.sell"]


def test_a_file_that_does_not_parse_is_named_and_its_lines_are_counted(tmp_path: Path) -> None:
    write(tmp_path, bad="def f(:\n    pass\n")

    report = audit_files(tmp_path, [tmp_path / "bad.py"])

    assert list(report.unparsed) == ["bad.py"]
    assert report.unparsed["bad.py"].startswith("SyntaxError")
    assert (report.files, report.lines, report.functions) == (1, 2, 0)


def test_merging_parts_gives_what_the_whole_gives(tmp_path: Path) -> None:
    paths = []
    for number in range(30):
        text = SOURCE + "\n".join(f"def f{i}(): return {'x or ' * (i + number)}x" for i in range(15))
        write(tmp_path, **{f"m{number}": text})
        paths.append(tmp_path / f"m{number}.py")

    parts = merge(audit_files(tmp_path, paths[i : i + 7]) for i in range(0, 30, 7))

    assert parts == audit_files(tmp_path, paths)
    assert parts.most_complex[0].complexity == 14 + 29 + 1
    assert merge([]) == Report()


def test_the_longest_files_come_first_and_equals_by_name(tmp_path: Path) -> None:
    write(tmp_path, b="x = 1\n", a="x = 1\n", c="x = 1\ny = 2\n")

    report = audit_files(tmp_path, sorted(tmp_path.iterdir()))

    assert report.longest_files == (FileSize("c.py", 2), FileSize("a.py", 1), FileSize("b.py", 1))


def test_every_file_is_in_one_task(tmp_path: Path) -> None:
    write(tmp_path, a="x = 1\n", b="y = 1\n", big="x = 1\n" * 40_000, pkg__m="z = 1\n", test__test_a="q = 1\n")
    write(tmp_path / "site-packages", other="not ours\n")

    *tasks, last = find_tasks(tmp_path)

    assert tasks[0].id == "big"
    assert {task.id: task.payload["paths"] for task in tasks} == {
        "big": ["big.py"],
        "a..b": ["a.py", "b.py"],
        "pkg": ["pkg"],
        "test.test_a": ["test/test_a.py"],
    }
    assert last.id == REPORT
    assert set(last.after) == {task.id for task in tasks}


def test_the_library_of_this_machine_is_cut_into_tasks_of_different_names() -> None:
    tasks = find_tasks(stdlib())
    paths = [path for task in tasks[:-1] for path in task.payload["paths"]]

    assert len({task.id for task in tasks}) == len(tasks) > 50
    assert len(set(paths)) == len(paths)
    assert find_tasks(stdlib(), 5)[:-1] == tasks[-6:-1]
