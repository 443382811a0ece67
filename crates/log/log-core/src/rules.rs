//! Rule sets: the statements of a configuration, run for one message.

use std::fmt;

use crate::{Action, ActionId, Condition, MessageView};

/// The position of a rule set in [`Rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSetId(pub usize);

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Does something with the message.
    Act(ActionId),
    /// Chooses.
    If {
        /// What is asked.
        condition: Condition,
        /// Run where it holds.
        then: Vec<Statement>,
        /// Run where it does not.
        otherwise: Vec<Statement>,
    },
    /// Runs another rule set, then goes on; a `stop` in it ends the message.
    Call(RuleSetId),
    /// The message is done with.
    Stop,
}

/// A named list of statements, with an index by priority: a rule whose selector does not take a message costs nothing.
#[derive(Debug, Clone)]
pub struct RuleSet {
    name: String,
    statements: Vec<Statement>,
    /// Where each PRI's part of `order` begins; one more stands for the end.
    starts: Vec<u32>,
    /// The statements to run for each PRI, in order.
    order: Vec<Step>,
}

/// A statement of a rule set, by position.
#[derive(Debug, Clone, Copy)]
struct Step {
    statement: u32,
    /// Its condition was a selector that takes this PRI: only `then` is left to run.
    decided: bool,
}

/// Everything that a configuration says about what to do with messages. Immutable, shared by threads.
#[derive(Debug, Clone)]
pub struct Rules {
    rulesets: Vec<RuleSet>,
    actions: Vec<Action>,
}

/// A rule set calls itself, by itself or over others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCycle {
    /// The rule set's name.
    pub ruleset: String,
}

/// Room for properties that must be made: one for each thread, used again for every message.
#[derive(Debug, Default)]
pub struct Scratch {
    text: Vec<u8>,
}

/// Takes what the rules decide.
pub trait Sink {
    /// `action` is to be done with `message`. Rendering is up to the receiver: `action.template.render(message, buffer)`
    /// appends to whatever buffer it batches in, without a copy between.
    fn deliver(&mut self, id: ActionId, action: &Action, message: &MessageView<'_>);
}

impl<F: FnMut(ActionId, &Action, &MessageView<'_>)> Sink for F {
    fn deliver(&mut self, id: ActionId, action: &Action, message: &MessageView<'_>) {
        self(id, action, message);
    }
}

/// PRI values that have an index of their own: 25 facilities with `invld`, 8 severities each.
const PRI_VALUES: usize = 200;

impl RuleSet {
    /// A rule set with its index.
    pub fn new(name: impl Into<String>, statements: Vec<Statement>) -> Self {
        let mut starts = Vec::with_capacity(PRI_VALUES + 1);
        let mut order = Vec::new();
        for pri in 0..PRI_VALUES {
            starts.push(order.len() as u32);
            for (position, statement) in statements.iter().enumerate() {
                let decided = match statement {
                    Statement::If { condition: Condition::Priority(selector), otherwise, .. } => {
                        let takes = selector.matches(pri as u8);
                        if !takes && otherwise.is_empty() {
                            continue;
                        }
                        takes
                    }
                    _ => false,
                };
                order.push(Step { statement: position as u32, decided });
                if matches!(statement, Statement::Stop) {
                    break;
                }
            }
        }
        starts.push(order.len() as u32);
        Self { name: name.into(), statements, starts, order }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its statements.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    #[inline]
    fn steps(&self, pri: u8) -> &[Step] {
        let pri = usize::from(pri);
        let from = self.starts.get(pri).copied().unwrap_or(0);
        let to = self.starts.get(pri + 1).copied().unwrap_or(0);
        self.order.get(from as usize..to as usize).unwrap_or(&[])
    }
}

impl Rules {
    /// The rules; refused where a rule set calls itself. The first rule set is the default one.
    ///
    /// # Panics
    /// Where a statement names an action or a rule set that is not there: the compiler of the text has made a mistake.
    pub fn new(rulesets: Vec<RuleSet>, actions: Vec<Action>) -> Result<Self, CallCycle> {
        let rules = Self { rulesets, actions };
        for ruleset in &rules.rulesets {
            rules.check_references(&ruleset.statements);
        }
        let mut state = vec![Visit::New; rules.rulesets.len()];
        for id in 0..rules.rulesets.len() {
            rules.visit(id, &mut state)?;
        }
        Ok(rules)
    }

    /// The default rule set, which inputs use that name no other.
    pub const DEFAULT: RuleSetId = RuleSetId(0);

    /// All actions; an [`ActionId`] is a position here.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// All rule sets; a [`RuleSetId`] is a position here.
    pub fn rulesets(&self) -> &[RuleSet] {
        &self.rulesets
    }

    /// The rule set of a name.
    pub fn ruleset(&self, name: &str) -> Option<RuleSetId> {
        self.rulesets.iter().position(|ruleset| ruleset.name == name).map(RuleSetId)
    }

    /// Runs a rule set for one message: `sink` gets every action that takes it, in order.
    #[inline]
    pub fn run<S: Sink>(
        &self,
        id: RuleSetId,
        message: &MessageView<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) {
        self.run_ruleset(id, message, scratch, sink);
    }

    fn run_ruleset<S: Sink>(
        &self,
        id: RuleSetId,
        message: &MessageView<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Flow {
        let Some(ruleset) = self.rulesets.get(id.0) else { return Flow::GoOn };
        for step in ruleset.steps(message.pri) {
            let Some(statement) = ruleset.statements.get(step.statement as usize) else { continue };
            let flow = match statement {
                Statement::If { then, .. } if step.decided => self.run_block(then, message, scratch, sink),
                other => self.run_statement(other, message, scratch, sink),
            };
            if flow == Flow::Stop {
                return flow;
            }
        }
        Flow::GoOn
    }

    fn run_block<S: Sink>(
        &self,
        statements: &[Statement],
        message: &MessageView<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Flow {
        for statement in statements {
            if self.run_statement(statement, message, scratch, sink) == Flow::Stop {
                return Flow::Stop;
            }
        }
        Flow::GoOn
    }

    #[inline]
    fn run_statement<S: Sink>(
        &self,
        statement: &Statement,
        message: &MessageView<'_>,
        scratch: &mut Scratch,
        sink: &mut S,
    ) -> Flow {
        match statement {
            Statement::Act(id) => {
                if let Some(action) = self.actions.get(id.0) {
                    sink.deliver(*id, action, message);
                }
                Flow::GoOn
            }
            Statement::If { condition, then, otherwise } => {
                let block = if condition.holds(message, &mut scratch.text) { then } else { otherwise };
                self.run_block(block, message, scratch, sink)
            }
            Statement::Call(id) => self.run_ruleset(*id, message, scratch, sink),
            Statement::Stop => Flow::Stop,
        }
    }

    fn check_references(&self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Act(id) => {
                    assert!(id.0 < self.actions.len(), "a rule names an action that is not there")
                }
                Statement::Call(id) => {
                    assert!(id.0 < self.rulesets.len(), "a rule calls a rule set that is not there")
                }
                Statement::If { then, otherwise, .. } => {
                    self.check_references(then);
                    self.check_references(otherwise);
                }
                Statement::Stop => {}
            }
        }
    }

    /// Depth first: a rule set that is met again while it is open calls itself.
    fn visit(&self, id: usize, state: &mut [Visit]) -> Result<(), CallCycle> {
        match state[id] {
            Visit::Done => return Ok(()),
            Visit::Open => return Err(CallCycle { ruleset: self.rulesets[id].name.clone() }),
            Visit::New => state[id] = Visit::Open,
        }
        let mut calls = Vec::new();
        collect_calls(&self.rulesets[id].statements, &mut calls);
        for call in calls {
            self.visit(call, state)?;
        }
        state[id] = Visit::Done;
        Ok(())
    }
}

impl fmt::Display for CallCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ruleset `{}` calls itself", self.ruleset)
    }
}

impl std::error::Error for CallCycle {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Open,
    Done,
}

fn collect_calls(statements: &[Statement], calls: &mut Vec<usize>) {
    for statement in statements {
        match statement {
            Statement::Call(id) => calls.push(id.0),
            Statement::If { then, otherwise, .. } => {
                collect_calls(then, calls);
                collect_calls(otherwise, calls);
            }
            Statement::Act(_) | Statement::Stop => {}
        }
    }
}
