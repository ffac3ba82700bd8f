// Bundled for Chromium by ui-chat.test.ts: what `useChat({ id: 'a', resume: true })` does, without React.
import { AbstractChat, type ChatState, type ChatStatus, DefaultChatTransport, type UIMessage } from 'ai';

class PlainState implements ChatState<UIMessage> {
  status: ChatStatus = 'ready';
  error: Error | undefined = undefined;
  messages: UIMessage[];

  constructor(messages: UIMessage[]) {
    this.messages = messages;
  }

  pushMessage = (message: UIMessage): void => void this.messages.push(message);
  popMessage = (): void => void this.messages.pop();
  replaceMessage = (index: number, message: UIMessage): void => void (this.messages[index] = message);
  snapshot = <T>(thing: T): T => structuredClone(thing);
}

class Chat extends AbstractChat<UIMessage> {
  constructor(messages: UIMessage[]) {
    super({ id: 'a', transport: new DefaultChatTransport({ api: '/chat' }), state: new PlainState(messages) });
  }
}

// As the server has kept them.
const messages = (await (await fetch('/messages')).json()) as UIMessage[];
const chat = new Chat(messages);
Object.assign(globalThis, { chat });
if (messages.length > 0) void chat.resumeStream();
