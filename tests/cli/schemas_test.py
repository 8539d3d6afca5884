#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every JSON Schema of docs/formats against what the tools write.

usage: schemas_test.py BIN DOCS
BIN has the built tools, DOCS is docs/formats. A schema without a document here is a failure, and
so is a schema that accepts a document with an unknown member or without a required one.
"""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("this machine has no jsonschema for Python (package python3-jsonschema)")
    sys.exit(77)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def documents(bin_folder, folder):
    """Name of each schema -> documents of that format."""
    def tool(name, *arguments):
        return run(bin_folder / f"dbsp-{name}", *arguments)

    workload, plan = folder / "w.json", folder / "p.json"
    shape = ("--heads", "4", "--head-dim", "64", "--grid", "2,8,8", "--layers", "2", "--steps", "3", "--block", "16x16")
    found = {"clusters": [json.loads(tool("tune", "--list-clusters"))], "db_compare": [],
             "workload": [], "workload_info": [], "plan": [], "replay": [], "report": []}
    for mask in ("radial:decay=0.5", "random:density=0.4,spread=0.5,seed=3", "dense"):
        tool("workload", "make", *shape, "--mask", mask, "-o", workload)
        found["workload"].append(json.loads(workload.read_text()))
        found["workload_info"].append(json.loads(tool("workload", "info", workload, "--json")))
        for families in ("auto", "placed", "ring"):
            tool("tune", "--workload", workload, "--cluster", "h200x4", "--families", families, "-o", plan)
            found["plan"].append(json.loads(plan.read_text()))
            found["db_compare"].append(json.loads(tool("db", "compare", plan, plan, "--json")))
            for transport in ("threads", "serial"):
                text = tool("replay", plan, "--transport", transport, "--cells", "first:1", "--repeat", "1",
                            "--warmup", "0", "--verify", "--json", "--db", folder / "d.db")
                found["replay"].append(json.loads(text))
            text = tool("report", "--db", folder / "d.db", "--plan", plan, "--json")
            found["report"].append(json.loads(text))
    return found


def main():
    bin_folder, docs = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        found = documents(bin_folder, pathlib.Path(name))
    problems = []
    for path in sorted(docs.glob("*.schema.json")):
        name = path.name.removesuffix(".schema.json")
        schema = json.loads(path.read_text())
        validator = jsonschema.validators.validator_for(schema)
        validator.check_schema(schema)
        checker = validator(schema)
        if name not in found:
            problems.append(f"{path.name}: this test makes no such document")
            continue
        for document in found[name]:
            for error in checker.iter_errors(document):
                where = "/".join(map(str, error.absolute_path))
                problems.append(f"{path.name}: {where or 'document'}: {error.message[:200]}")
        unknown = {**copy.deepcopy(found[name][0]), "unknown_member": 1}
        if checker.is_valid(unknown):
            problems.append(f"{path.name}: accepts an unknown member")
        for required in schema.get("required", []) or ["schema"]:
            partial = copy.deepcopy(found[name][0])
            partial.pop(required, None)
            if checker.is_valid(partial):
                problems.append(f"{path.name}: accepts a document without '{required}'")
        print(f"{path.name}: {len(found[name])} documents")
    for problem in sorted(set(problems)):
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
