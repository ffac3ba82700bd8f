import { answerHere } from './answer.js';

// The tab of one answer, which its address names.
const ports = await (await fetch('/ports')).json();
answerHere(ports.answers);
