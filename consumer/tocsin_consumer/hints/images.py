"""Hints about images that do not come."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_IMAGES: Final = "kubectl -n {namespace} get pod {name} -o jsonpath='{{.spec.containers[*].image}}'"
_DESCRIBE: Final = "kubectl -n {namespace} describe pod {name}"

IMAGES: Final = (
    Entry(
        reasons=("Failed",),
        message="Failed to pull image.*(unauthorized|403 forbidden|access denied|authorization failed)",
        zh="镜像仓库拒绝访问，或镜像不存在。看 imagePullSecrets 是否存在且未过期。",
        en="The registry refuses access. See that imagePullSecrets exist and have not expired.",
        command="kubectl -n {namespace} get pod {name} -o jsonpath='{{.spec.imagePullSecrets}}'",
    ),
    Entry(
        reasons=("Failed",),
        message="Failed to pull image.*(toomanyrequests|429 too many|rate limit)",
        zh="镜像仓库限流。登录后拉取，或使用镜像缓存。",
        en="The registry limits the rate. Pull with an account, or through a mirror of your own.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("Failed",),
        message="Failed to pull image.*(no such host|time(d )?out|deadline|refused|unreachable|tls: |x509: |eof$)",
        zh="节点连不上镜像仓库。看该节点的网络、DNS、代理、证书和时钟。",
        en="The node does not reach the registry. Look at its network, DNS, proxy, certificates and clock.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("Failed",),
        message="Failed to pull image.*no space left",
        zh="节点磁盘已满，镜像放不下。清理镜像和日志，或扩容。",
        en="The node's disk is full. Remove images and logs, or give it more room.",
        command="kubectl describe node {node}",
    ),
    Entry(
        reasons=("Failed",),
        message="Failed to pull image.*(not ?found|manifest unknown|no match for platform)",
        zh="仓库里没有这个镜像或标签，或没有适合该节点 CPU 架构的版本。核对镜像名和标签。",
        en="The registry has no such image or tag, or none for this node's CPU. Compare name and tag.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("Failed",),
        message="Failed to pull image",
        zh="镜像拉取失败。消息末尾是原因：名称、权限或网络。",
        en="The image was not pulled. The end of the message says why: name, permission or network.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("Failed",),
        message="Error: (ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|RegistryUnavailable)",
        zh="容器没有镜像，无法启动。原因在该 Pod 的另一个事件里。",
        en="Without its image the container cannot start. Another event of this Pod says what is wrong with it.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("Failed", "InspectFailed"),
        message=".*(dial unix|connection error|Unavailable)",
        zh="节点上的容器运行时没有响应。看该节点的 containerd（或 k3s）服务。",
        en="The container runtime of the node does not answer. Look at containerd (or k3s) there.",
        command="kubectl describe node {node}",
    ),
    Entry(
        reasons=("Failed",),
        kind="Pod",
        zh="容器无法创建或启动。消息里是运行时给出的原因。",
        en="The container could not be created or started. The message says what the runtime objects to.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("BackOff",),
        kind="Pod",
        message="Back-off pulling",
        zh="镜像一直拉取失败，重试间隔越来越长。核对镜像名、标签、仓库权限和网络。",
        en="The image is not pulled, and tries grow rare. Check its name and tag, the registry, the pull secret.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("ErrImageNeverPull",),
        zh="镜像不在节点上，而拉取策略是 Never。预先导入镜像，或改用 IfNotPresent。",
        en="The image is not on the node, and its pull policy is Never. Import it there, or use IfNotPresent.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("InspectFailed",),
        zh="镜像名无效或镜像已损坏。核对镜像名，必要时在节点上删除后重新拉取。",
        en="The image's name is not valid, or the image is damaged. Check the name, or remove it on the node.",
        command=_IMAGES,
    ),
    Entry(
        reasons=("FailedToRetrieveImagePullSecret",),
        zh="imagePullSecrets 引用的 Secret 不存在。在该命名空间创建它，或去掉引用。",
        en="A Secret in imagePullSecrets is missing. Create it in this namespace, or remove the reference.",
        command="kubectl -n {namespace} get secrets --field-selector type=kubernetes.io/dockerconfigjson",
    ),
)
