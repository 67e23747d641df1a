"""Scrapes a running engine with Datadog's own check, exactly as the annotation of a rendered manifest says.

Usage: scrape.py HOST:PORT RENDERED   the engine's METRICS_PORT, and what kustomize made of a folder beside this file
Needs datadog-checks-base[deps]. Run by hand; .ci/manifests checks the annotation without an engine.
"""

import json
import os
import re
import sys
import urllib.request

# A lint for Datadog's own checks: to them `version`, a label of trading_engine_build_info, would be a clash.
os.environ["DDEV_SKIP_GENERIC_TAGS_CHECK"] = "1"
import yaml
from datadog_checks.base import OpenMetricsBaseCheckV2
from datadog_checks.base.stubs import aggregator

address, rendered = sys.argv[1:]
annotations = [
    one["spec"]["template"]["metadata"]["annotations"]
    for one in yaml.safe_load_all(open(rendered))
    if one["kind"] in ("Deployment", "StatefulSet") and one["metadata"]["name"] == "trading-engine"
]
text = annotations[0]["ad.datadoghq.com/trading-engine.checks"].replace("%%host%%:9090", address)
config = json.loads(text)["openmetrics"]
check = OpenMetricsBaseCheckV2("openmetrics", config["init_config"], config["instances"])
check.check_id = "test"
problem = check.run()
assert not problem, problem
health = aggregator.service_checks("trading_engine.openmetrics.health")
assert [one.status for one in health] == [0], health

names = set(aggregator.metric_names)
if config["instances"][0]["metrics"] == [".+"]:
    page = urllib.request.urlopen(f"http://{address}/metrics").read().decode()
    wanted = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", page, re.M):
        if re.search(rf"^{name}(_count)?[ {{]", page, re.M):
            short = "trading_engine." + re.sub("^trading_engine_|_total$", "", name)
            wanted |= {
                "counter": {f"{short}.count"},
                "histogram": {f"{short}.count", f"{short}.sum"},
            }.get(kind, {short})
else:
    wanted = {"trading_engine." + to for one in config["instances"][0]["metrics"] for to in one.values()}
assert names == wanted, (sorted(names - wanted), sorted(wanted - names))
print(f"{len(names)} metrics collected, as named")
