// Dispatches that become one without being one kernel: which may share a dispatch, and the group that stands for them.
import type { AdapterTraits, Tensor } from '../ops/tensor.ts';
import { type Memory, memoryOfSchedule, type Range, type Refusal } from './legality.ts';
import { type Arrangement, type Outline, threadsOf } from './link.ts';
import { runsOf } from './memory.ts';
import { linkAs, outline, WORKGROUP } from './outline.ts';
import { type Group, isIsolated, type Schedule } from './schedule.ts';
import { bytesOfType, sharedBy } from './workgroup_memory.ts';

/** Members of one dispatch: its shader is as long as all of theirs. */
const MOST_MEMBERS = 24;

/** What groups of one schedule may become, on one adapter. */
export class Compounds {
  private readonly outlines = new Map<Group, Outline>();
  private readonly memory: Memory;
  /** The pack or shelf that a tensor is part of. */
  private readonly packs: ReadonlyMap<Tensor, Tensor>;
  private readonly traits: AdapterTraits;
  private readonly places: ReadonlyMap<Group, number>;

  constructor(schedule: Schedule, traits: AdapterTraits) {
    this.memory = memoryOfSchedule(schedule);
    const shelved = (schedule.shelves ?? []).flatMap((shelf) => shelf.inputs.map((part) => [part, shelf] as const));
    this.packs = new Map([...this.memory.packOf, ...shelved]);
    this.traits = traits;
    const all = (group: Group): Group[] => [...(group.members ?? []).flatMap(all), group];
    this.places = new Map(schedule.groups.flatMap(all).map((group, i) => [group, i]));
  }

  outline(group: Group): Outline {
    let known = this.outlines.get(group);
    if (!known) {
      known = outline(group, this.traits);
      this.outlines.set(group, known);
    }
    return known;
  }

  /** Why a group shares no dispatch with any other. */
  alone(group: Group): Refusal | undefined {
    const nodes = [...group.kernelOps, ...group.outputs];
    const isolated = nodes.find(isIsolated) ?? nodes.find(({ op }) => op.traits?.opaque);
    if (isolated) return { kind: 'isolated', tensor: isolated };
    // What is to be validated is validated by itself.
    if (group.variant?.unverified || !this.outline(group).isLinkable) return { kind: 'isolated', tensor: nodes[0]! };
    return undefined;
  }

  /** One group of several, or why they cannot be one dispatch; that none waits for another is the caller's to know. */
  join(groups: readonly Group[], arrangement: Arrangement): Group | Refusal {
    const members = groups.flatMap((group) => (group.arrangement === arrangement ? group.members! : [group]));
    members.sort((a, b) => this.placeOf(a) - this.placeOf(b));
    if (members.length > MOST_MEMBERS) return { kind: 'members', count: members.length, most: MOST_MEMBERS };
    const outputs = members.flatMap((member) => member.outputs);
    const own = new Set(outputs);
    const tensors = new Set(members.flatMap(({ reads }) => [...reads.keys()]).filter((tensor) => !own.has(tensor)));
    const refusal = this.unfit(members, arrangement) ?? this.conflict(outputs, [...tensors]);
    if (refusal) return refusal;
    // A variable is updated in place here, after all that read it; no other memory is taken over.
    const targets = new Set(outputs.map((output) => this.memory.range(output)));
    const reads = new Map([...tensors].map((tensor) => [tensor, targets.has(this.memory.range(tensor))] as const));
    return { kernelOps: [], outputs, reads, inPlaceConcat: false, members, arrangement, link: linkAs(arrangement) };
  }

  private placeOf(group: Group): number {
    return this.places.get(group) ?? Math.max(...group.members!.map((member) => this.placeOf(member)));
  }

  /** Whether a group has workgroups of a number of threads that fits into those of another. */
  fits(group: Group, into: Group): boolean {
    const threads = threadsOf(
      into.members!.map((member) => this.outline(member)),
      into.arrangement!,
      WORKGROUP,
    );
    return threads % this.outline(group).threads === 0;
  }

  /** Workgroups that are not alike, or want more memory than one has. */
  private unfit(members: readonly Group[], arrangement: Arrangement): Refusal | undefined {
    const outlines = members.map((member) => this.outline(member));
    const threads = threadsOf(outlines, arrangement, WORKGROUP);
    const fits = (one: Outline) =>
      one.isBound ? one.threads === threads : arrangement === 'in turn' || threads % one.threads === 0;
    const other = outlines.find((one) => !fits(one));
    if (other) return { kind: 'threads', count: other.threads, most: threads };
    const bytes = [...sharedBy(outlines).values()].reduce((sum, { type }) => sum + bytesOfType(type), 0);
    const most = this.traits.limits.maxComputeWorkgroupStorageSize;
    return bytes > most ? { kind: 'memory', count: bytes, most } : undefined;
  }

  /** Too many bindings, or one buffer that would be bound for reading and for writing. */
  private conflict(outputs: readonly Tensor[], reads: readonly Tensor[]): Refusal | undefined {
    const { memory, packs } = this;
    const all = [...outputs, ...reads];
    const ranges = new Set<Range>(all.filter((tensor) => !packs.has(tensor)).map((tensor) => memory.range(tensor)));
    const count = ranges.size + runsOf(all, packs).length;
    if (count > memory.maxBuffers) return { kind: 'buffers', count, most: memory.maxBuffers };
    for (const tensor of reads) {
      const range = memory.range(tensor);
      const other = outputs.find((output) => {
        const target = memory.range(output);
        return target.owner === range.owner && target !== range;
      });
      if (other) return { kind: 'waits', tensor, other };
    }
    return undefined;
  }
}
