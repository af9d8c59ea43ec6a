/** A row of radio buttons that look like one switch. */

export interface Choice {
  value: string;
  choose: () => void;
}

/** Replace the buttons of a fieldset. The choice at `chosen` is checked. */
export function fillRadioGroup(group: HTMLElement, choices: Choice[], chosen: number): void {
  for (const label of group.querySelectorAll("label")) label.remove();
  choices.forEach(({ value, choose }, index) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = group.id;
    input.value = value;
    input.checked = index === chosen;
    input.onchange = choose;
    label.append(input, document.createElement("span"));
    group.append(label);
  });
  group.hidden = choices.length < 2;
}

/** Write the texts of the buttons, and a longer label for screen readers where the text alone says too little. */
export function labelRadioGroup(group: HTMLElement, text: (value: string) => string, label = text): void {
  for (const input of group.querySelectorAll("input")) {
    input.nextElementSibling!.textContent = text(input.value);
    input.setAttribute("aria-label", label(input.value));
    input.parentElement!.title = label(input.value);
  }
}
