"""Hints about Pods as a whole: sandbox, network, names, admission, eviction."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_DESCRIBE: Final = "kubectl -n {namespace} describe pod {name}"
_NODE: Final = "kubectl describe node {node}"

PODS: Final = (
    Entry(
        reasons=("FailedCreatePodSandBox",),
        message=".*(flannel|subnet\\.env|cni)",
        zh="节点的网络插件未就绪。看该节点的 k3s（flannel）日志；刚重启时通常会自行恢复。",
        en="The node's network plugin is not up. See k3s (flannel) there; after a reboot it mends itself.",
        command=_NODE,
    ),
    Entry(
        reasons=("FailedCreatePodSandBox", "FailedPodSandBoxStatus"),
        zh="节点无法创建 Pod 的沙箱：网络插件、pause 镜像或容器运行时有问题。",
        en="The node cannot set up the Pod's sandbox: its network plugin, pause image or runtime has a problem.",
        command=_NODE,
    ),
    Entry(
        reasons=("NetworkNotReady",),
        zh="节点的网络插件未就绪，Pod 在等待。持续几分钟则看该节点的网络插件或 k3s 日志。",
        en="The node's network is not ready, and the Pod waits. If it lasts, look at its network plugin or k3s.",
        command=_NODE,
    ),
    Entry(
        reasons=("DNSConfigForming",),
        zh="节点的 resolv.conf 中 DNS 服务器超过三个，多出的被忽略。无碍，可减到三个。",
        en="The node's resolv.conf has more than three name servers; the rest are ignored. Harmless.",
    ),
    Entry(
        reasons=("MissingClusterDNS", "CheckLimitsForResolvConf"),
        zh="kubelet 没有可用的集群 DNS 配置，Pod 解析不了 Service 名。看 clusterDNS 和 resolv.conf。",
        en="kubelet lacks a usable DNS setting, and Pods find no Services. Look at clusterDNS and resolv.conf.",
        command="kubectl -n kube-system get service kube-dns",
    ),
    Entry(
        reasons=("FailedKillPod",),
        zh="节点停不下这个 Pod。多为容器运行时卡住，或存储没有响应。",
        en="The node cannot stop the Pod: mostly its container runtime hangs, or storage does not answer.",
        command=_NODE,
    ),
    Entry(
        reasons=("FailedSync",),
        zh="kubelet 与容器运行时不同步，会重试。持续出现则看该节点的负载和运行时。",
        en="kubelet and the runtime disagree; it is tried again. If it goes on, look at the node's load.",
        command=_NODE,
    ),
    Entry(
        reasons=("FailedValidation",),
        zh="Pod 的定义未通过 kubelet 检查。看消息所指的字段。",
        en="kubelet does not accept what the Pod is defined as. The message names the field.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("Preempting", "Preempted"),
        zh="Pod 被驱逐，为优先级更高的 Pod 让出资源。节点已满：扩容或调整请求量。",
        en="It made room for a Pod of higher priority. The cluster is full: add capacity, or lower requests.",
        command="kubectl describe nodes",
    ),
    Entry(
        reasons=("OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "NodeAffinity"),
        zh="节点收下 Pod 时才发现资源或设备不足、或标签不符。Pod 不会再启动，由控制器另建。",
        en="When the Pod arrived, the node had no room or device for it any more. Its controller makes another.",
        command=_NODE,
    ),
    Entry(
        reasons=("ResizeDeferred", "ResizeInfeasible"),
        zh="节点放不下调整后的资源。降低请求量，或换更大的节点。",
        en="The node has no room for the new size. Ask for less, or for a larger node.",
        command=_NODE,
    ),
    Entry(
        reasons=("Evicted",),
        message=".*(ephemeral-storage|nodefs|imagefs|disk)",
        zh="节点磁盘不足，Pod 被驱逐。看是谁写满了磁盘：日志、emptyDir、镜像。",
        en="The node ran out of disk and evicted the Pod. See what fills it: logs, emptyDir volumes, images.",
        command=_NODE,
    ),
    Entry(
        reasons=("Evicted",),
        message=".*EmptyDir",
        zh="Pod 写入 emptyDir 的数据超过 sizeLimit，被驱逐。清理数据或提高上限。",
        en="The Pod wrote more into an emptyDir than its sizeLimit. Let it clean up, or raise the limit.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("Evicted",),
        message=".*memory",
        zh="节点内存不足，Pod 被驱逐。设置合理的内存请求与上限，或增加内存。",
        en="The node ran out of memory and evicted the Pod. Set requests and limits that are true.",
        command="kubectl top pods -A --sort-by=memory",
    ),
    Entry(
        reasons=("Evicted",),
        zh="节点资源不足，Pod 被驱逐。消息里写明是哪种资源。",
        en="The node ran short of something and evicted the Pod. The message says of what.",
        command=_NODE,
    ),
    Entry(
        reasons=("NodeNotReady",),
        kind="Pod",
        zh="Pod 所在的节点失联或未就绪。先查节点，Pod 随节点恢复。",
        en="The node that it runs on is not ready. Look at the node first; its Pods come back with it.",
        command="kubectl -n {namespace} get pod {name} -o wide",
    ),
    Entry(
        reasons=("TaintManagerEviction",),
        message="Marking for deletion",
        zh="节点带有 Pod 不容忍的污点（多为未就绪），Pod 被删除并在别处重建。",
        en="Its node has a taint that it does not tolerate, mostly not-ready; it is made anew elsewhere.",
        command="kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints",
    ),
)
