"""Hints about volumes and claims."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_DESCRIBE: Final = "kubectl -n {namespace} describe pod {name}"
_CLAIM: Final = "kubectl -n {namespace} describe {kind} {name}"
_CLAIMS: Final = "kubectl -n {namespace} get pvc"

VOLUMES: Final = (
    Entry(
        reasons=("FailedMount",),
        message=".*configmap .*not found",
        zh="卷引用的 ConfigMap 不存在。看名称和命名空间，是否漏部署。",
        en="The ConfigMap of a volume is missing. Compare name and namespace; was it deployed?",
        command="kubectl -n {namespace} get configmaps",
    ),
    Entry(
        reasons=("FailedMount",),
        message=".*secret .*not found",
        zh="卷引用的 Secret 不存在。看名称和命名空间，是否漏部署。",
        en="The Secret of a volume is missing. Compare name and namespace; was it deployed?",
        command="kubectl -n {namespace} get secrets",
    ),
    Entry(
        reasons=("FailedMount",),
        message=".*references non-existent (config|secret) key",
        zh="卷引用的键在 ConfigMap 或 Secret 中不存在。核对 items 中的键名。",
        en="The ConfigMap or Secret of a volume lacks a key that items names. Compare the keys.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("FailedMount",),
        message=".*not registered",
        zh="kubelet 刚启动，还没读到 ConfigMap 或 Secret，通常会自行恢复。",
        en="kubelet has not read the object yet, as it does after a start. It mends itself.",
    ),
    Entry(
        reasons=("FailedMount",),
        message=".*hostPath type check failed",
        zh="节点上没有 hostPath 指定的文件或设备。看设备是否接好、驱动是否加载。",
        en="The node lacks the file or device of a hostPath. Is it plugged in, and its driver loaded?",
        command="kubectl -n {namespace} get pod {name} -o wide",
    ),
    Entry(
        reasons=("FailedMount",),
        message=".*(timed out|timeout|deadline)",
        zh="挂载超时：存储后端没有响应，或卷还挂在别处。看存储服务和网络。",
        en="Mounting takes too long: storage does not answer, or the volume is still in use elsewhere.",
        command=_CLAIMS,
    ),
    Entry(
        reasons=("FailedMount", "FailedMapVolume"),
        zh="卷挂载失败。消息里是原因；看 PVC、存储插件和该节点。",
        en="A volume was not mounted, for the reason in the message. Look at claim, storage driver and node.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("FailedAttachVolume",),
        message="Multi-Attach",
        zh="卷仍挂在另一个节点上，多因那个节点失联。等它释放，或确认已关机后强制分离。",
        en="The volume is still attached to another node, often a lost one. Once that is off, it can be forced.",
        command="kubectl get volumeattachments",
    ),
    Entry(
        reasons=("FailedAttachVolume",),
        zh="卷无法附加到节点。看存储插件的日志和卷的状态。",
        en="The volume cannot be attached to the node. Look at the storage driver and the volume.",
        command="kubectl get volumeattachments",
    ),
    Entry(
        reasons=("ProvisioningFailed",),
        message=".*storageclass.*not found",
        zh="PVC 指定的 StorageClass 不存在。改用已有的，或创建它。",
        en="The claim names a storage class that does not exist. Use one that does, or create it.",
        command="kubectl get storageclass",
    ),
    Entry(
        reasons=("ProvisioningFailed",),
        zh="无法为 PVC 创建卷。看 provisioner 的日志和存储后端的容量。",
        en="No volume could be made for the claim. Look at the provisioner's log and the room that is left.",
        command=_CLAIM,
    ),
    Entry(
        reasons=("FailedBinding",),
        zh="没有符合 PVC 的卷，也没有默认 StorageClass。",
        en="No volume fits the claim, and there is no default storage class to make one.",
        command="kubectl get storageclass,pv",
    ),
    Entry(
        reasons=("VolumeResizeFailed", "FileSystemResizeFailed"),
        zh="卷扩容失败。看 StorageClass 是否允许扩容、后端容量是否足够。",
        en="The volume was not resized. See whether its class allows that, and storage has the room.",
        command=_CLAIM,
    ),
    Entry(
        reasons=("VolumeConditionAbnormal", "FailedMountOnFilesystemMismatch", "AlreadyMountedVolume"),
        zh="卷的状态异常或文件系统不符。写入前先检查并备份数据。",
        en="The volume is not as it should be. Check it, and save its data, before more is written.",
        command=_CLAIM,
    ),
)
