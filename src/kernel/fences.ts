import { assert, must } from '../base/assert.ts';
import type { CellLives } from './cell-lives.ts';
import type { Exit } from './exit.ts';
import type { Roster } from './roster.ts';
import { dropTimer, teamsOf, type CellNode, type TeamNode } from './tree-node.ts';

const fencedExit: Exit = { kind: 'fenced' };

/**
 * The tree's side of fences: the threads have already dropped what is fenced, at one store in shared memory; here it is
 * marked as down, and begun anew once that is proven to be so.
 */
export class Fences {
  readonly #roster: Roster;
  readonly #lives: CellLives;
  readonly #begin: (gate: number) => number;

  /** `begin` answers the generation of a gate's next life, the first included. */
  constructor(roster: Roster, lives: CellLives, begin: (gate: number) => number) {
    this.#roster = roster;
    this.#lives = lives;
    this.#begin = begin;
    for (const [gate, path] of roster.gates.entries()) this.#gatedAt(path).generation = begin(gate);
  }

  /** Marks as down whatever a word of `words` (one a gate) has reached; answers the teams that were fenced by it. */
  see(words: Int32Array): readonly TeamNode[] {
    const fenced: TeamNode[] = [];
    for (const [gate, path] of this.#roster.gates.entries()) {
      const team = this.#gatedAt(path);
      if (team.isFenced || words[gate]! < team.generation) continue;
      this.#fence(team);
      fenced.push(team);
    }
    return fenced;
  }

  /** Begins the next life of a fenced team and of the fenceable ones below it, all still down; a Fault when it may not. */
  lift(path: string): TeamNode {
    const team = this.#gatedAt(path);
    assert(team.isFenced && team.gate >= 0, `${path} is not fenced`);
    assert(team.team?.isFenced !== true, `a team above ${path} is fenced`);
    for (const one of teamsOf(team)) {
      one.isFenced = false;
      if (one.gate >= 0) one.generation = this.#begin(one.gate);
    }
    return team;
  }

  #gatedAt(path: string): TeamNode {
    return must(this.#roster.team(path), `team ${path}`);
  }

  #fence(fenced: TeamNode): void {
    const inside = `${fenced.path}/`;
    for (const team of teamsOf(fenced)) {
      dropTimer(team);
      team.status = 'stopped';
      team.isFenced = true;
      team.steps = [];
      team.current = null;
      team.restarts = [];
      team.escalation = null;
      for (const child of team.children) if (child.kind === 'cell') this.#fenceCell(child, inside);
      for (const node of team.dynamic.values()) this.#fenceCell(node, inside);
      this.#roster.forgetDynamic(team);
    }
  }

  /** Ten thousand of these are one fence: nothing is made that is not needed. */
  #fenceCell(node: CellNode, inside: string): void {
    const former = this.#lives.end(node);
    if (former === 'stopped') return;
    if (node.watchers.length > 0) {
      // Who was fenced too hears nothing.
      const outside = node.watchers.filter((watcher) => !watcher.path.startsWith(inside));
      node.watchers.splice(0, Infinity, ...outside);
    }
    if (node.watchers.length > 0 || !node.isTold) this.#lives.tell(node, fencedExit);
  }
}
