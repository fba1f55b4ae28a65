"""Hints about containers that run, or should: crashes, probes, hooks, and what they are started with."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_LOGS: Final = "kubectl -n {namespace} logs {name} -c {container} --tail=50"
_DESCRIBE: Final = "kubectl -n {namespace} describe pod {name}"

CONTAINERS: Final = (
    Entry(
        reasons=("BackOff",),
        kind="Pod",
        message="Back-off restarting",
        zh="容器启动后反复退出。看它退出前的最后输出，以及退出码（137 多为内存超限）。",
        en="The container keeps exiting. Look at its last output and its exit code (137: mostly out of memory).",
        command="kubectl -n {namespace} logs {name} -c {container} --previous --tail=50",
    ),
    Entry(
        reasons=("Unhealthy",),
        message="Liveness probe",
        zh="存活探针失败，容器将被重启。看应用是否卡死、过载，或探针的超时太短。",
        en="It fails its liveness probe and is restarted then: it hangs, is overloaded, or the probe is hasty.",
        command=_LOGS,
    ),
    Entry(
        reasons=("Unhealthy",),
        message="Readiness probe",
        zh="就绪探针失败，Service 暂不向它转发流量。看应用日志，以及它依赖的服务是否可达。",
        en="It gets no traffic while it fails its readiness probe. Look at its log, and at what it depends on.",
        command=_LOGS,
    ),
    Entry(
        reasons=("Unhealthy",),
        message="Startup probe",
        zh="容器未能在启动探针允许的时间内就绪。启动太慢则加大 failureThreshold，否则看日志。",
        en="It was not up in time for its startup probe. If it is only slow, raise failureThreshold.",
        command=_LOGS,
    ),
    Entry(
        reasons=("ProbeWarning",),
        zh="探针被重定向到别的主机，按成功处理。把探针路径改为不跳转的地址。",
        en="The probe was redirected elsewhere, which counts as success. Give it a path that answers by itself.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("Killing",),
        message=".*failed (liveness|startup) probe",
        zh="容器因探针失败被重启。看它被终止前的日志。",
        en="The container is restarted as its probe failed. Look at what it said before.",
        command="kubectl -n {namespace} logs {name} -c {container} --previous --tail=50",
    ),
    Entry(
        reasons=("FailedPostStartHook", "FailedPreStopHook"),
        zh="容器的生命周期钩子（postStart 或 preStop）执行失败。看钩子的命令及其依赖。",
        en="A lifecycle hook (postStart or preStop) failed. Look at its command and at what that needs.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("Failed",),
        message=".*(configmap|secret) .*not found|.*couldn't find key",
        zh="容器引用的 ConfigMap、Secret 或其中的键不存在。看名称、命名空间，以及是否漏部署。",
        en="It refers to a ConfigMap, a Secret or a key that is missing. Compare the names; was it deployed?",
        command="kubectl -n {namespace} get configmaps,secrets",
    ),
    Entry(
        reasons=("Failed",),
        message=".*exec format error",
        zh="镜像的 CPU 架构与节点不符（如 amd64 镜像在 arm64 的树莓派上）。构建多架构镜像。",
        en="The image is for another CPU than the node has (amd64 on an arm64 Pi, say). Build it for both.",
        command="kubectl get nodes -L kubernetes.io/arch",
    ),
    Entry(
        reasons=("Failed",),
        message=".*(executable file not found|no such file or directory|permission denied)",
        zh="容器的启动命令在镜像里不存在或不可执行。看 command、args 和镜像内容。",
        en="The command to start is not in the image, or not executable. Compare command and args with the image.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("ExceededGracePeriod",),
        zh="容器未在宽限期内停止，将被强制终止。看应用是否处理 SIGTERM。",
        en="It did not stop within its grace period. See whether it handles SIGTERM.",
        command=_LOGS,
    ),
    Entry(
        reasons=("FailedCreatePodContainer",),
        zh="节点无法为 Pod 创建 cgroup。看该节点的 kubelet（或 k3s）日志和 cgroup 配置。",
        en="The node cannot make the Pod's cgroup. Look at the log of kubelet or k3s there.",
        command="kubectl describe node {node}",
    ),
)
