"""Hints about what makes Pods and what stands before them: controllers, autoscalers, Services, K3s' manifests."""
# ruff: noqa: RUF001 - Chinese has punctuation of its own

from typing import Final

from tocsin_consumer.hints.entry import Entry

_DESCRIBE: Final = "kubectl -n {namespace} describe {kind} {name}"

WORKLOADS: Final = (
    Entry(
        reasons=("FailedCreate",),
        message=".*exceeded quota",
        zh="命名空间配额已用尽，Pod 建不出来。提高配额，或减少用量。",
        en="The namespace has used up its quota, and no Pod is made. Raise it, or run less.",
        command="kubectl -n {namespace} describe resourcequota",
    ),
    Entry(
        reasons=("FailedCreate",),
        message=".*(serviceaccount|service account) .*not found",
        zh="Pod 使用的 ServiceAccount 不存在。创建它，或改正名称。",
        en="The Pod's service account does not exist. Create it, or correct the name.",
        command="kubectl -n {namespace} get serviceaccounts",
    ),
    Entry(
        reasons=("FailedCreate",),
        message=".*(failed calling webhook|denied the request|violates PodSecurity)",
        zh="准入控制（webhook 或 PodSecurity）拒绝了 Pod。消息里是哪条规则。",
        en="Admission refuses the Pod, by a webhook or Pod Security. The message names the rule.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("FailedCreate", "FailedDelete"),
        zh="控制器无法创建或删除 Pod。消息里是 API 服务器给出的原因。",
        en="The controller cannot create or delete Pods. The message says what the API server objects to.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("FailedDaemonPod",),
        zh="DaemonSet 在某节点上的 Pod 失败，将重建。反复出现则看该节点和 Pod 日志。",
        en="A Pod of the DaemonSet failed on a node and is made anew. If that repeats, look at the node.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("SelectingAll",),
        zh="DaemonSet 的选择器为空，会匹配所有 Pod。补上 selector。",
        en="The DaemonSet's selector is empty and would take every Pod. Give it one.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("BackoffLimitExceeded",),
        zh="Job 重试次数用尽，已失败。看最后一个 Pod 的日志；修好后删除 Job 再运行。",
        en="The Job failed as often as it may. Look at the log of its last Pod; mend it, then run it anew.",
        command="kubectl -n {namespace} logs job/{name} --tail=50",
    ),
    Entry(
        reasons=("DeadlineExceeded",),
        kind="Job",
        zh="Job 超过 activeDeadlineSeconds 被终止。看它卡在哪里，或放宽时限。",
        en="The Job took longer than activeDeadlineSeconds. See where it hangs, or allow it more time.",
        command="kubectl -n {namespace} logs job/{name} --tail=50",
    ),
    Entry(
        reasons=("TooManyMissedTimes", "FailedNeedsStart"),
        zh="CronJob 错过太多次调度，多因集群停机或时钟跳变。看节点时钟，设置 startingDeadlineSeconds。",
        en="The CronJob missed too many starts: downtime, or a clock that jumped. Set startingDeadlineSeconds.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("UnparseableSchedule",),
        zh="CronJob 的 schedule 无法解析，不会运行。改正表达式或时区。",
        en="The CronJob's schedule cannot be read, so it never runs. Correct it, or its time zone.",
        command="kubectl -n {namespace} get cronjob {name}",
    ),
    Entry(
        reasons=("FailedGetResourceMetric", "FailedComputeMetricsReplicas"),
        zh="HPA 取不到指标，不会伸缩。看 metrics-server 是否运行、Pod 是否设置了请求量。",
        en="The autoscaler gets no metrics and does not scale. Is metrics-server up, and do Pods have requests?",
        command="kubectl -n kube-system get pods -l k8s-app=metrics-server",
    ),
    Entry(
        reasons=("FailedToUpdateEndpointSlices", "FailedToUpdateEndpoint"),
        zh="Service 的后端列表未能更新，流量可能发往旧 Pod。通常会重试成功。",
        en="The Service's endpoints were not updated, so traffic may go to old Pods. It is tried again.",
        command="kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}",
    ),
    Entry(
        reasons=("OwnerRefInvalidNamespace",),
        zh="对象引用了另一个命名空间里的属主，会被当作孤儿清理。去掉该 ownerReference。",
        en="It names an owner in another namespace and will be removed as an orphan. Drop that ownerReference.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("SyncLoadBalancerFailed",),
        zh="Service 的负载均衡建不起来。K3s 上看 svclb Pod 和端口冲突。",
        en="The Service gets no load balancer. In K3s, look at its svclb Pods, and for ports that are taken.",
        command=_DESCRIBE,
    ),
    Entry(
        reasons=("ReadManifestFailed", "ParseManifestFailed", "ValidateManifestFailed", "ApplyManifestFailed"),
        kind="Addon",
        zh="K3s 未能应用 manifests 目录中的文件。按消息改正文件，K3s 会自动重试。",
        en="K3s could not apply a file of its manifests directory. Correct it, and K3s tries again by itself.",
        command=_DESCRIBE,
    ),
)
