"""Hints about Pods that no node takes. The message counts nodes by reason; the one to act on counts first."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_REASONS: Final = ("FailedScheduling",)

SCHEDULING: Final = (
    Entry(
        reasons=_REASONS,
        message=".*(persistentvolumeclaim|unbound)",
        zh="Pod 等待存储卷：PVC 不存在或未绑定。看 PVC 的状态和 StorageClass。",
        en="It waits for a volume: a claim is missing or not bound. Look at the claim and its storage class.",
        command="kubectl -n {namespace} get pvc",
    ),
    Entry(
        reasons=_REASONS,
        message=".*volume node affinity conflict",
        zh="存储卷在另一个节点上（本地卷），而该节点不可用。恢复那个节点，或重建卷。",
        en="Its volume is local to a node that takes no Pods. Bring that node back, or make the volume anew.",
        command="kubectl -n {namespace} get pvc -o wide",
    ),
    Entry(
        reasons=_REASONS,
        message=".*Too many pods",
        zh="节点上的 Pod 数已达上限。减少 Pod，或提高 kubelet 的 max-pods。",
        en="The nodes run as many Pods as they may. Remove some, or raise max-pods.",
        command="kubectl describe nodes",
    ),
    Entry(
        reasons=_REASONS,
        message=".*Insufficient",
        zh="没有节点有足够的可分配资源。降低 Pod 的请求量，或给集群扩容。",
        en="No node has enough left to give. Lower what the Pod requests, or add capacity.",
        command="kubectl describe nodes",
    ),
    Entry(
        reasons=_REASONS,
        message=".*free ports",
        zh="所需的主机端口（hostPort）已被占用。去掉 hostPort，或减少副本。",
        en="The host port that it asks for is taken on every node. Drop hostPort, or run fewer replicas.",
        command="kubectl -n {namespace} describe pod {name}",
    ),
    Entry(
        reasons=_REASONS,
        message=".*(node affinity|node selector|affinity rules|topology spread)",
        zh="没有节点符合 Pod 的 nodeSelector、亲和性或分布约束。核对节点标签。",
        en="No node fits its nodeSelector, affinity or spread constraints. Compare them with the nodes' labels.",
        command="kubectl get nodes --show-labels",
    ),
    Entry(
        reasons=_REASONS,
        message=".*unschedulable",
        zh="节点已被禁止调度（cordon）。维护结束后执行 kubectl uncordon。",
        en="Nodes are cordoned. When maintenance is over, run kubectl uncordon.",
        command="kubectl get nodes",
    ),
    Entry(
        reasons=_REASONS,
        message=".*taint",
        zh="节点带有 Pod 不容忍的污点：节点未就绪、有压力，或专用。看节点状态和污点。",
        en="Nodes have taints that it does not tolerate: not ready, under pressure, or reserved.",
        command="kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints",
    ),
    Entry(
        reasons=_REASONS,
        zh="没有合适的节点。消息按原因列出各有多少节点。",
        en="No node takes it. The message counts the nodes by reason.",
        command="kubectl -n {namespace} describe pod {name}",
    ),
)
