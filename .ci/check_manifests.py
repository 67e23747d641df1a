"""Checks rendered manifests: all of them against Kubernetes' schemas, and the Datadog component for what it promises.

Usage: check_manifests.py RENDERED..., files named after the folders of deploy/kubernetes/tests/datadog.
"""

import json
import pathlib
import re
import sys

from kubernetes_validate.utils import all_versions, validate
import yaml

root = pathlib.Path(__file__).resolve().parent.parent
# From the first version with rights to a kubelet's pods alone (components/datadog/rbac.yaml).
OLDEST = (1, 33)
ENGINE = "trading-engine"
problems = []
checked = 0
seen = set()


def expect(right, text):
    global checked
    checked += 1
    if not right:
        problems.append(f"{file}: {text}")


def only(objects, kind, name):
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    expect(len(found) == 1, f"{len(found)} {kind} {name} in place of one")
    return found[0] if found else None


def containers(workload):
    spec = workload["spec"]["template"]["spec"]
    return spec["containers"] + spec.get("initContainers", [])


def environment(container):
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", [])}


def check_schemas(objects):
    versions = [v for v in all_versions() if tuple(map(int, v.split("."))) >= OLDEST]
    expect(versions, "no schemas")
    for one in objects:
        # Most of what is rendered is the same in every test.
        text = json.dumps(one, sort_keys=True)
        if text in seen:
            continue
        seen.add(text)
        for version in sorted({versions[0], versions[-1]}) if versions else []:
            try:
                validate(one, version, strict=True)
                expect(True, "")
            # A kind without a schema is an error like any other: nothing of it was checked.
            except Exception as error:
                where = ".".join(map(str, getattr(error, "path", [])))
                text = getattr(error, "message", str(error))
                expect(False, f"{one['kind']} {one['metadata']['name']}, Kubernetes {version}: {where}: {text}")


def check_agent(objects):
    agent = only(objects, "DaemonSet", "datadog-agent")
    if not agent:
        return
    namespace = agent["metadata"]["namespace"]
    expect(namespace == "datadog", f"the agent is in namespace {namespace}")
    pod = agent["spec"]["template"]["spec"]
    expect(pod["securityContext"].get("runAsNonRoot") is True, "the agent may be root")
    images = {one["image"] for one in containers(agent)}
    expect(len(images) == 1, f"more than one image: {sorted(images)}")
    expect(all(re.search(r":\d+\.\d+\.\d+$", one) for one in images), f"no version: {sorted(images)}")
    with_key = [one for one in containers(agent) if "DD_API_KEY" in environment(one)]
    expect([one["name"] for one in with_key] == ["agent"], "the API key is not the agent container's alone")
    key = {"secretKeyRef": {"name": "datadog", "key": "DATADOG_API_KEY"}}
    expect(with_key and environment(with_key[0])["DD_API_KEY"] == key, "the API key is not from its secret")
    for one in containers(agent):
        limits = one.get("resources", {})
        expect(limits.get("requests") and limits.get("limits"), f"{one['name']} has no resources")
        context = one.get("securityContext", {})
        expect(context.get("allowPrivilegeEscalation") is False, f"{one['name']} may become more than it is")
        expect(context.get("capabilities", {}).get("drop") == ["ALL"], f"{one['name']} has capabilities")
    main = pod["containers"][0]
    udp = [one for one in main["ports"] if one.get("protocol") == "UDP"]
    expect([one.get("hostPort") for one in udp] == [8125], "DogStatsD is not at the node's port 8125")
    expect(environment(main).get("DD_DOGSTATSD_NON_LOCAL_TRAFFIC") == "true", "DogStatsD hears its own pod alone")
    maps = [one["configMapRef"]["name"] for one in main["envFrom"]]
    settings = only(objects, "ConfigMap", maps[0])
    expect(settings and settings["data"].get("DD_SITE"), "DD_SITE is not in the agent's ConfigMap")
    role = only(objects, "ClusterRole", "datadog-agent")
    for rule in role["rules"] if role else []:
        expect(rule["verbs"] == ["get"], f"the agent may {rule['verbs']}")
        wrong = [one for one in rule["resources"] if not one.startswith("nodes/") or one == "nodes/proxy"]
        expect(not wrong, f"the agent may see {wrong}")
    binding = only(objects, "ClusterRoleBinding", "datadog-agent")
    expect(binding and binding["subjects"][0]["namespace"] == namespace, "the rights are another namespace's account's")


def check_engine(objects, kind, by_dogstatsd):
    engine = only(objects, kind, ENGINE)
    bystander = only(objects, kind, "bystander")
    if not engine or not bystander:
        return
    annotations = engine["spec"]["template"]["metadata"].get("annotations", {})
    expect("datad" not in json.dumps(bystander).lower() and "DD_" not in json.dumps(bystander), "the bystander is changed")
    expect(annotations.get("kept") == "yes", "an annotation of the base is gone")
    names = [one["name"] for one in engine["spec"]["template"]["spec"]["containers"]]
    expect(names == [ENGINE, "sidecar"], f"containers are {names}")
    first = environment(containers(engine)[0])
    expect(first.get("BIND_ADDRESS") == "0.0.0.0", "an environment variable of the base is gone")
    expect(first.get("LOG_FORMAT") == "json", "logs are not JSON")
    host = {"fieldRef": {"fieldPath": "status.hostIP"}}
    expect(first.get("DD_AGENT_HOST") == (host if by_dogstatsd else None), "DD_AGENT_HOST is wrong")
    expect("API_KEY" not in json.dumps(engine), "the engine knows of an API key")
    settings = set(re.findall(r"^\| `([A-Z_]+)`", (root / "CONFIGURATION.md").read_text(), re.M))
    unknown = [one for one in first if one not in settings]
    expect(not unknown, f"the engine has no settings {unknown}")
    # An annotation of a container that there is not is one nobody reads.
    for one in annotations:
        found = re.fullmatch(r"ad\.datadoghq\.com/(.+)\.(checks|logs)", one)
        expect(not found or found[1] in names, f"{one}: no such container")
    try:
        checks = json.loads(annotations.get(f"ad.datadoghq.com/{ENGINE}.checks", ""))
        logs = json.loads(annotations.get(f"ad.datadoghq.com/{ENGINE}.logs", ""))
    except ValueError as error:
        expect(False, f"an annotation is no JSON: {error}")
        return
    expect(logs[0].get("source") == ENGINE and logs[0].get("service") == ENGINE, "logs are another's")
    check_metrics(checks["openmetrics"]["instances"], by_dogstatsd)


def check_metrics(instances, by_dogstatsd):
    metrics = re.findall(r"^\| `([a-z_]+)` \| (\w+)", (root / "METRICS.md").read_text(), re.M)
    expect(len(metrics) > 50, "METRICS.md has no metrics")
    expect(len(instances) == 1, f"{len(instances)} instances")
    instance = instances[0]
    default = re.search(r"^\| `METRICS_PORT` .*\| `(\d+)` \|", (root / "CONFIGURATION.md").read_text(), re.M)[1]
    expect(instance["openmetrics_endpoint"] == f"http://%%host%%:{default}/metrics", "another endpoint than METRICS_PORT's")
    expect(instance["namespace"] == "trading_engine", "another namespace than DogStatsD's")
    if not by_dogstatsd:
        expect(instance["metrics"] == [".+"], "not all metrics are scraped")
        return
    # What src/telemetry/dogstatsd.rs makes of names.
    sent = {"trading_engine." + re.sub("^trading_engine_|_total$", "", name) for name, kind in metrics}
    for entry in instance["metrics"]:
        expect(isinstance(entry, dict), f"{entry} keeps its name")
        for name, to in entry.items() if isinstance(entry, dict) else []:
            expect(name in dict(metrics), f"METRICS.md has no {name}")
            expect(f"trading_engine.{to}" not in sent, f"{to} is sent by DogStatsD, too")


for path in map(pathlib.Path, sys.argv[1:]):
    file = path.stem
    rendered = [one for one in yaml.safe_load_all(path.read_text()) if one]
    expect(rendered, "nothing is rendered")
    check_schemas(rendered)
    check_agent(rendered)
    check_engine(rendered, "Deployment" if file == "deployment" else "StatefulSet", file != "openmetrics")
for problem in problems:
    print(problem)
print(f"manifests: {len(sys.argv) - 1} rendered, {checked} checks, {len(problems)} problems")
sys.exit(1 if problems or checked < 150 else 0)
