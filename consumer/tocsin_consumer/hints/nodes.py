"""Hints about nodes, K3s' own included."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_DESCRIBE: Final = "kubectl describe node {name}"
_TOP_MEMORY: Final = "kubectl top pods -A --sort-by=memory"

NODES: Final = (
    Entry(
        reasons=("NodeNotReady",),
        zh="节点不再上报状态：断电、断网、过载，或 kubelet（k3s）停止。登录节点看 k3s 服务。",
        en="The node no longer reports: power, network, overload, or kubelet (k3s) is down. Look at k3s on it.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("NodeHasInsufficientMemory",),
        zh="节点内存不足，将开始驱逐 Pod。看哪些 Pod 用得最多。",
        en="The node runs out of memory and will evict Pods. See which use the most.",
        command=_TOP_MEMORY,
    ),
    Entry(
        reasons=("NodeHasDiskPressure",),
        zh="节点磁盘不足，将清理镜像并驱逐 Pod。看镜像、日志和本地卷。",
        en="The node runs out of disk; it removes images and evicts Pods. Look at images, logs, local volumes.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("NodeHasInsufficientPID",),
        zh="节点的进程数接近上限。看哪个 Pod 进程泄漏。",
        en="The node runs out of process ids. Look for a Pod that leaks processes.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("NodeNotSchedulable",),
        zh="节点被禁止调度（cordon 或 drain）。维护结束后恢复。",
        en="The node was cordoned, by hand or by a drain. Undo it when maintenance is over.",
        command="kubectl uncordon {name}",
    ),
    Entry(
        reasons=("EvictionThresholdMet",),
        zh="节点某种资源跌破阈值，正在回收，随后驱逐 Pod。",
        en="The node is short of a resource and reclaims it, next by evicting Pods.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("SystemOOM", "OOMKilling"),
        zh="节点内存耗尽，内核杀死了消息中的进程。看各 Pod 用量，并设置内存上限。",
        en="The node ran out of memory, and the kernel killed the process in the message. Set memory limits.",
        command=_TOP_MEMORY,
    ),
    Entry(
        reasons=("TaskHung", "KernelOops", "Ext4Error", "IOError"),
        zh="内核报告磁盘或系统故障，SD 卡老化时常见。尽快备份，看 dmesg，准备更换。",
        en="The kernel reports a fault, often an SD card that wears out. Save its data, read dmesg, replace it.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("FreeDiskSpaceFailed", "ImageGCFailed"),
        zh="磁盘将满，而清理镜像腾不出空间。看日志、本地卷和未用容器。",
        en="The disk fills, and removing images does not help. Look at logs, local volumes, old containers.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("ContainerGCFailed",),
        zh="节点清理不了旧容器：容器运行时没有响应。看该节点的 containerd（或 k3s）。",
        en="The node cannot remove old containers: its runtime does not answer. Look at containerd or k3s.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("InvalidDiskCapacity",),
        zh="kubelet 启动时还不知道磁盘大小，无碍。可在采集端排除。",
        en="kubelet does not know the disk's size yet as it starts. Harmless; exclude it at the producer.",
    ),
    Entry(
        reasons=("Rebooted",),
        zh="节点重启过。若非计划内，看电源、温度、看门狗和内核日志。",
        en="The node was rebooted. If nobody meant to, look at power, temperature, watchdog and kernel log.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("CgroupV1", "PossibleMemoryBackedVolumesOnDisk"),
        zh="节点的内核或系统较旧，现在无碍，日后升级 Kubernetes 前需更新。",
        en="The node's kernel or system is old. Harmless now; renew it before a later Kubernetes asks for it.",
        command="kubectl get node {name} -o wide",
    ),
    Entry(
        reasons=("KubeletSetupFailed", "FailedNodeAllocatableEnforcement"),
        zh="kubelet 无法设置节点的资源限制。看节点上的 cgroup 和 kubelet（k3s）日志。",
        en="kubelet cannot set up what the node may use. Look at cgroups and at the log of kubelet (k3s) there.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("CIDRNotAvailable", "CIDRAssignmentFailed"),
        zh="没有可分配给节点的 Pod 网段。扩大 cluster-cidr，或删除旧节点。",
        en="No range of Pod addresses is left for the node. Widen cluster-cidr, or delete nodes that are gone.",
        command="kubectl get nodes -o custom-columns=NAME:.metadata.name,CIDR:.spec.podCIDR",
    ),
    Entry(
        reasons=("NodeControllerEviction", "DeletingAllPods"),
        zh="节点失联太久，其上的 Pod 被删除并在别处重建。查节点。",
        en="The node was away for too long, and its Pods are made anew elsewhere. Look at the node.",
        command="kubectl get nodes -o wide",
    ),
    Entry(
        reasons=("Shutdown",),
        kind="Node",
        zh="节点正在关机。若非计划内，看电源。",
        en="The node shuts down. If nobody meant it to, look at its power.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("CertificateExpirationWarning",),
        zh="K3s 证书即将过期。在该节点重启 k3s 会自动续期（systemctl restart k3s）。",
        en="K3s' certificates expire soon. Restarting k3s on this node renews them (systemctl restart k3s).",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("NodePasswordValidationFailed",),
        zh="节点重装过，与 K3s 记录的节点密码不符。确认是同一台后删除该 Secret 并重启节点的 k3s。",
        en="The node was set up anew, and K3s knows another password of it. If it is yours, delete that Secret.",
        command="kubectl -n kube-system get secret {name}.node-password.k3s",
    ),
    Entry(
        reasons=("ETCDSnapshotFailed",),
        zh="K3s 的 etcd 快照失败，备份不完整。看磁盘空间和 S3 配置。",
        en="K3s could not take a snapshot of etcd, so a backup is missing. Look at disk space and S3 settings.",
        command="kubectl get etcdsnapshotfiles",
    ),
)
