"""Every key of the configuration: the specification's, with its names and defaults, and the ones we add.

    coordination:            store:
      manager                  url, durability, snapshot_every, archive_after
      strategies
        leader_follower, consensus, auction, contract_net
      synchronization
      coalition
      monitoring

Each key says its unit and its meaning in its own annotation, where `concerted config` and the reference
in docs/configuration.md find them.  Durations are seconds here and `300s`, `24h`, `100ms` in files.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from concerted.config.durations import Duration, NonNegative, show_duration

__all__ = [
    "Auction",
    "Coalition",
    "Consensus",
    "ContractNet",
    "Coordination",
    "Criteria",
    "Hierarchical",
    "Inbox",
    "LeaderFollower",
    "ManagerSettings",
    "Monitoring",
    "Settings",
    "StoreSettings",
    "Strategies",
    "Swarm",
    "Synchronization",
]

Formula = Literal["sound", "specification"]


# These two stand first because the classes below use them while the module is being read.
def _key(unit: str, doc: str, **limits: Any) -> Meta:
    """Describe a key: its unit, its meaning in one line, its limits."""
    return Meta(description=doc, extra={"unit": unit}, **limits)


def _shorter(short_s: float, long_s: float, short: str, long: str) -> None:
    if not short_s < long_s:
        raise ValueError(f"{short} ({show_duration(short_s)}) must be shorter than {long} ({show_duration(long_s)})")


class ManagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the coordinator runs coordinations and watches agents."""

    max_concurrent_coordinations: Annotated[
        int, _key("runs", "Root runs active at once; the rest are queued", ge=1)
    ] = 10
    coordination_timeout: Annotated[Duration, _key("duration", "How long one coordination may take")] = 300.0
    health_check_interval: Annotated[
        Duration, _key("duration", "How often an agent that sends no heartbeats is asked for its status")
    ] = 10.0
    command_timeout: Annotated[
        Duration, _key("duration", "How long an answer is waited for when a command names no deadline")
    ] = 30.0
    max_children: Annotated[int, _key("runs", "Child runs active at once, of all root runs together", ge=1)] = 100
    max_queued: Annotated[int, _key("runs", "Root runs that may wait for a slot; one more is refused", ge=0)] = 1000
    max_attempts: Annotated[
        int, _key("attempts", "Takeovers in a row without progress, after which a run is parked", ge=1)
    ] = 5
    watchdog_timeout: Annotated[
        Duration, _key("duration", "How long a strategy may compute without yielding before its run is parked")
    ] = 5.0
    idle_eviction: Annotated[
        Duration, _key("duration", "How long a run stays in memory while nothing happens to it")
    ] = 60.0
    heartbeat_interval: Annotated[
        Duration, _key("duration", "How often agents and coordinators say that they are alive and at work")
    ] = 5.0
    task_lease: Annotated[
        Duration, _key("duration", "How long a claim on a task lives without a heartbeat from its holder")
    ] = 30.0
    redelivery_interval: Annotated[
        Duration, _key("duration", "How long after it was sent an unacknowledged command is sent again, at first")
    ] = 1.0
    max_redelivery_interval: Annotated[
        Duration, _key("duration", "The longest pause between two deliveries; the pauses double up to it")
    ] = 30.0
    breaker_failures: Annotated[
        int, _key("failures", "Failures in a row after which an agent's circuit breaker opens", ge=1)
    ] = 5
    breaker_cooldown: Annotated[
        Duration, _key("duration", "How long an open circuit breaker fails fast before it lets one probe through")
    ] = 30.0
    capability_ttl: Annotated[
        NonNegative, _key("duration", "How long an agent's answer to GET_CAPABILITIES is believed")
    ] = 300.0
    max_envelope_bytes: Annotated[
        int, _key("bytes", "The largest message on any wire; larger payloads go by reference", ge=4096, le=1 << 30)
    ] = 1 << 20
    max_open_commands: Annotated[
        int, _key("commands", "Unanswered commands at once; beyond it new ones are refused as overload", ge=1)
    ] = 100_000

    def __post_init__(self) -> None:
        _shorter(self.heartbeat_interval, self.task_lease, "heartbeat_interval", "task_lease")
        if self.max_redelivery_interval < self.redelivery_interval:
            raise ValueError(
                f"max_redelivery_interval ({show_duration(self.max_redelivery_interval)}) must not be shorter than "
                f"redelivery_interval ({show_duration(self.redelivery_interval)})"
            )


class LeaderFollower(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy leader_follower: one agent is elected, decomposes and assigns."""

    election_timeout: Annotated[Duration, _key("duration", "How long candidates may take to answer")] = 30.0
    heartbeat_interval: Annotated[Duration, _key("duration", "How often the leader is asked whether it is there")] = 5.0
    failover_threshold: Annotated[
        int, _key("heartbeats", "Missed in a row, after which an agent is gone and a leader is replaced", ge=1)
    ] = 3
    progress_interval: Annotated[
        Duration, _key("duration", "How often progress is checked when no event asks for it sooner")
    ] = 5.0
    mode: Annotated[
        Formula, _key("", "The load's part of the score: 30 x (1 - load), or the specification's max(0, 30 - load %)")
    ] = "sound"


class Consensus(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy consensus: the agents agree on one decision."""

    algorithm: Annotated[
        Literal["raft", "pbft", "paxos", "single", "database"],
        _key("", "How the log of decisions is kept: by the store (single, database), or by replicas"),
    ] = "raft"
    election_timeout: Annotated[Duration, _key("duration", "How long a replica waits for a leader")] = 10.0
    heartbeat_interval: Annotated[Duration, _key("duration", "How often a leader sends heartbeats to replicas")] = 2.0
    log_replication_batch_size: Annotated[int, _key("entries", "The most log entries in one message", ge=1)] = 100
    max_terms: Annotated[int, _key("terms", "Elections without a winner after which the run fails", ge=1)] = 5

    def __post_init__(self) -> None:
        _shorter(self.heartbeat_interval, self.election_timeout, "heartbeat_interval", "election_timeout")


class ReplicaGroups(msgspec.Struct, frozen=True, kw_only=True):
    """What a group of replicas keeps; frozen when the group is made."""

    max_objects: Annotated[
        int, _key("objects", "The most decisions, agreements and logs in one group at once; one more is refused", ge=1)
    ] = 10_000
    max_bytes: Annotated[
        int,
        _key(
            "bytes",
            "The most that one group keeps of their events; beyond it nothing new is taken",
            ge=1 << 16,
            le=256 << 20,
        ),  # so that a snapshot fits into one frame of a replica's file, and is made in half a second
    ] = 128 << 20
    retention: Annotated[
        NonNegative, _key("duration", "How long what is over stays in its group, after the coordinator has copied it")
    ] = 24 * 3600.0
    max_past: Annotated[
        int, _key("objects", "Of what has left a group, the most of which it remembers the end; then it is full", ge=1)
    ] = 100_000


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """How much each criterion counts in the score of a bid or proposal; together 1."""

    cost: Annotated[float, _key("share", "A low price", ge=0, le=1)] = 0.3
    time: Annotated[float, _key("share", "A short estimated duration", ge=0, le=1)] = 0.25
    quality: Annotated[float, _key("share", "A high promised quality", ge=0, le=1)] = 0.25
    reliability: Annotated[float, _key("share", "A good record of the bidder", ge=0, le=1)] = 0.2

    def __post_init__(self) -> None:
        total = self.cost + self.time + self.quality + self.reliability
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"cost + time + quality + reliability is {round(total, 6)}; these are shares of the score, "
                "so they must add up to 1 (a criterion that does not count is 0)"
            )


class Auction(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy auction: tasks go to the best sealed bids."""

    bidding_timeout: Annotated[Duration, _key("duration", "How long an auction takes bids, if not all came before")] = (
        30.0
    )
    mode: Annotated[
        Formula, _key("", "Score by evaluation_criteria with capability as a floor, or by the specification's formula")
    ] = "sound"
    scoring: Annotated[
        Literal["reserve", "fixed", "minmax"],
        _key("", "By what costs and times are measured: each task's limits, fixed limits, or the other bids"),
    ] = "reserve"
    award: Annotated[
        Literal["optimal", "sequential", "generalised", "combinatorial", "ascending", "cbba"],
        _key("", "Who wins: the best assignment of a round, or by another rule of the page on auctions"),
    ] = "optimal"
    payment: Annotated[
        Literal["as_bid", "second_price", "second_score", "vcg"],
        _key("", "What a winner is owed: what it bid, or what follows from the bids of others"),
    ] = "as_bid"
    max_bids: Annotated[int, _key("bids", "The most bids of one agent in one round", ge=1)] = 32
    search_steps: Annotated[
        int,
        _key("steps", "How many moves a search for the best bids may look at, by awards that search", ge=1, le=10**9),
    ] = 400_000
    solver_timeout: Annotated[
        NonNegative, _key("duration", "How long HiGHS may look too, if it or scipy is installed; 0: not at all")
    ] = 0.0
    gossip: Annotated[
        bool,
        _key("", "Under award cbba, let agents share tasks out themselves, by messages; else it is played here"),
    ] = False
    gossip_timeout: Annotated[Duration, _key("duration", "How long an agent may take for its turn to talk")] = 5.0
    gossip_rounds: Annotated[int, _key("rounds", "The most rounds of talk in one auction", ge=1, le=10_000)] = 200
    scores: Annotated[
        bool, _key("", "Tell in the result what makes up each score, and why the others did not win or bid")
    ] = False
    evaluation_criteria: Criteria = Criteria()


class ContractNet(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy contract_net: calls for proposals, negotiation, contracts."""

    proposal_timeout: Annotated[Duration, _key("duration", "How long a call for proposals is open")] = 60.0
    negotiation_rounds: Annotated[int, _key("rounds", "The most rounds of offer and counter-offer", ge=0)] = 5
    contract_duration: Annotated[Duration, _key("duration", "How long a contract binds when it names no term")] = (
        24 * 3600.0
    )
    max_contractors: Annotated[int, _key("agents", "The most agents asked in one call; then others are", ge=1)] = 100
    improvement: Annotated[
        float,
        _key("share", "By how much each further round is to undercut the best price; 0 decides at once", ge=0, lt=1),
    ] = 0.0
    late_penalty: Annotated[
        float, _key("share", "Of the price, for taking twice the promised time; in proportion for less or more", ge=0)
    ] = 0.1
    failure_penalty: Annotated[float, _key("share", "Of the price, for a contract that is not fulfilled", ge=0)] = 0.5
    decommitment_penalty: Annotated[float, _key("share", "Of the price, for withdrawing from a contract", ge=0)] = 0.2
    penalty_cap: Annotated[
        float, _key("share", "Of the price, the most that one contract costs in penalties", ge=0)
    ] = 0.5
    max_levels: Annotated[int, _key("levels", "How deep contractors may subcontract; 1: not at all", ge=1)] = 3
    evaluation_criteria: Criteria = Criteria()


class Hierarchical(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy hierarchical: agents in clusters, each with a strategy of its own, under leaders."""

    max_levels: Annotated[int, _key("levels", "Levels of coordination, that inside clusters included", ge=1)] = 3
    clusters: Annotated[int, _key("clusters", "How many clusters; 0: the root of the number of agents", ge=0)] = 0
    balance: Annotated[
        Literal["none", "max", "exact"],
        _key("", "The sizes of clusters: as they come, at most a quarter above the mean, or all alike"),
    ] = "max"
    cluster_strategy: Annotated[
        str, _key("strategy", "The strategy inside clusters; auto: by the rule on the page of the strategy")
    ] = "auto"
    split_above: Annotated[
        int, _key("agents", "Clusters of more agents are split again, if there is a level left", ge=1)
    ] = 128
    leader_timeout: Annotated[Duration, _key("duration", "How long a leader may take to answer")] = 10.0
    reassignments: Annotated[
        int, _key("times", "How often a task that a cluster could not do is given to another one", ge=0)
    ] = 2
    desertion_timeout: Annotated[
        Duration, _key("duration", "How long a cluster of which every agent is gone is waited for")
    ] = 15.0


class Swarm(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy swarm: many simple agents find an answer together."""

    mode: Annotated[Literal["optimize", "route", "balance", "select", "agree"], _key("", "What the swarm is to do")] = (
        "balance"
    )
    rule: Annotated[
        Literal["auto", "pso", "ring", "shade", "halving", "honeybee", "metropolis", "push_sum"],
        _key("", "How: pso, ring or shade to optimize, halving or honeybee to select, metropolis or push_sum to agree"),
    ] = "auto"
    goal: Annotated[Literal["least", "most"], _key("", "Whether the least or the greatest value is looked for")] = (
        "least"
    )
    evaluations: Annotated[
        int, _key("evaluations", "How many candidates are looked at, at most, to optimize", ge=1, le=1_000_000)
    ] = 1000
    population: Annotated[
        int, _key("candidates", "The size of the swarm of candidates; 0: by the space", ge=0, le=10_000)
    ] = 0
    target: Annotated[float | None, _key("value", "A value that is good enough, to optimize and to route")] = None
    patience: Annotated[
        int, _key("evaluations", "How many in a row may bring nothing better, before it is enough; 0: any", ge=0)
    ] = 0
    rounds: Annotated[int, _key("rounds", "The most rounds, to route, to agree and of honeybees", ge=1, le=100_000)] = (
        100
    )
    judgements: Annotated[int, _key("judgements", "Of each option in the first round; 0: one by each agent", ge=0)] = 0
    repeats: Annotated[int, _key("judgements", "Of one option by one agent, at most", ge=1, le=100)] = 3
    quorum: Annotated[int, _key("agents", "Who must have judged an option, or be for it; 0: more than half", ge=0)] = 0
    tolerance: Annotated[
        float, _key("value", "How near numbers must be to agree, relative where they are over 1", gt=0, le=1)
    ] = 1e-6
    waiting: Annotated[
        float, _key("share", "A task waits for who has it done in this share of the time of who is free", ge=0, le=1)
    ] = 1.0


class Strategies(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of each strategy."""

    leader_follower: LeaderFollower = LeaderFollower()
    consensus: Consensus = Consensus()
    auction: Auction = Auction()
    contract_net: ContractNet = ContractNet()
    hierarchical: Hierarchical = Hierarchical()
    swarm: Swarm = Swarm()


class Synchronization(msgspec.Struct, frozen=True, kw_only=True):
    """Sync points and barriers."""

    default_timeout: Annotated[
        Duration, _key("duration", "How long a waiting call that names no timeout waits before it answers `pending`")
    ] = 60.0
    barrier_cleanup_delay: Annotated[
        NonNegative, _key("duration", "How long a finished one-shot barrier stays readable")
    ] = 60.0
    sync_check_interval: Annotated[
        Duration, _key("duration", "How often a condition that reads the time is looked at")
    ] = 0.1
    barrier_timeout: Annotated[Duration, _key("duration", "How long a barrier waits when it names no timeout")] = 300.0


class Inbox(msgspec.Struct, frozen=True, kw_only=True):
    """The inboxes of agents, and receipts."""

    acknowledge_within: Annotated[
        Duration, _key("duration", "How soon a message that requires it must be acknowledged, if it does not say")
    ] = 60.0
    redeliveries: Annotated[
        int, _key("times", "How often such a message is delivered anew before somebody else is told", ge=0)
    ] = 3
    retention: Annotated[
        Duration, _key("duration", "How long a message is kept after it was acknowledged, or fetched for good")
    ] = 7 * 24 * 3600.0
    max_messages: Annotated[int, _key("messages", "The most messages in one inbox; one more is refused", ge=1)] = 10_000


class Coalition(msgspec.Struct, frozen=True, kw_only=True):
    """The forming of coalitions."""

    max_coalition_size: Annotated[int, _key("agents", "The most members of one coalition", ge=1)] = 10
    max_candidates: Annotated[
        int, _key("agents", "The most agents among whom a coalition is chosen, those who bring most", ge=1, le=62)
    ] = 60
    max_valued: Annotated[
        int,
        _key("coalitions", "The most coalitions valued for one choice among more than 16 agents", ge=1, le=1_000_000),
    ] = 65_536
    max_asked: Annotated[
        int,
        _key("coalitions", "The most coalitions of which an agent is asked the worth for one task", ge=1, le=100_000),
    ] = 1_024
    max_sampled: Annotated[
        int,
        _key("coalitions", "By how many worths a coalition of more than 16 members is estimated", ge=256, le=100_000),
    ] = 4_096
    formation_timeout: Annotated[Duration, _key("duration", "How long forming a coalition may take")] = 120.0
    profit_sharing_rounds: Annotated[int, _key("rounds", "The most rounds of bargaining over shares", ge=0)] = 10
    stability_threshold: Annotated[
        float, _key("0..1", "The least stability at which a coalition is formed", ge=0, le=1)
    ] = 0.7
    values: Annotated[
        Literal["capabilities", "agents", "table"],
        _key("", "What coalitions are worth: by capabilities and budget, as an agent says, or as the task lists"),
    ] = "capabilities"
    sharing: Annotated[
        Literal["shapley", "banzhaf", "nucleolus", "owen", "myerson"],
        _key("", "At which shares bargaining begins: by what each adds, by stability, by unions, or by links"),
    ] = "shapley"
    bargaining: Annotated[
        Literal["bisection", "offers", "specification"],
        _key("", "How shares are agreed: between what was refused and what is enough, in turn, or by fixed steps"),
    ] = "bisection"
    discount: Annotated[
        float, _key("0..1", "What a share is worth a round later, where members propose in turn", ge=0, le=1)
    ] = 0.9
    voting_rule: Annotated[
        Literal["majority", "two_thirds", "unanimous", "shares", "leader"],
        _key("", "How the members decide whether to go on without one that is lost"),
    ] = "majority"
    answer_timeout: Annotated[Duration, _key("duration", "How long agents may take to answer while it forms")] = 10.0
    coalition_attempts: Annotated[
        int, _key("coalitions", "How many coalitions may try a task, one after the other", ge=1)
    ] = 3
    overlapping: Annotated[
        bool, _key("", "Agents split their capacity over several coalitions, by what each task requires")
    ] = False
    mode: Annotated[
        Formula, _key("", "Risk, stability and utility as can be relied on, or by the specification's formulas")
    ] = "sound"


class Monitoring(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown and counted besides the log, which is always written."""

    metrics_collection: Annotated[bool, _key("", "Count messages, replies, timeouts and retries per run")] = True
    coordination_logging: Annotated[bool, _key("", "Write a line for people at each step of a run")] = True
    performance_tracking: Annotated[bool, _key("", "Measure where each run spends its time")] = True


class Coordination(msgspec.Struct, frozen=True, kw_only=True):
    """The specification's `coordination:`."""

    manager: ManagerSettings = ManagerSettings()
    strategies: Strategies = Strategies()
    replica_groups: ReplicaGroups = ReplicaGroups()
    synchronization: Synchronization = Synchronization()
    inbox: Inbox = Inbox()
    coalition: Coalition = Coalition()
    monitoring: Monitoring = Monitoring()


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is remembered.  In a file, a text in its place is the url."""

    shorthand: ClassVar[str] = "url"

    url: Annotated[str | None, _key("", "Where the log is kept: sqlite:///work.db")] = None
    durability: Annotated[
        Literal["full", "normal", "off"],
        _key("", "What a power cut can cost: full nothing, normal the newest commits, off the whole file"),
    ] = "full"
    snapshot_every: Annotated[
        int, _key("entries", "Log entries between two snapshots, which bound what reading the past costs", ge=100)
    ] = 10_000
    archive_after: Annotated[
        Duration | None, _key("duration", "How long after its end a run is archived; null: only when told to")
    ] = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of a configuration file."""

    coordination: Coordination = Coordination()
    store: StoreSettings = StoreSettings()
