/** The faces of the photo that this page gave, as boxes upon it: a click, or Enter on one, animates that face. */
export class FaceChooser {
  #element;
  #image;
  #words;
  #fetchPhoto;
  #choose;
  #photo = "";
  #chosen = 1;

  /** `fetchPhoto` gives the answer with the photo's picture; `choose` is called with the number of a face. */
  constructor(element, { fetchPhoto, choose }) {
    this.#element = element;
    this.#image = element.querySelector("img");
    this.#words = element.querySelector("p");
    this.#fetchPhoto = fetchPhoto;
    this.#choose = choose;
  }

  /** Shows the faces, if there is a choice, and which is animated; fetches the photo's picture if it is a new one. */
  async show(boxes, chosen) {
    this.#chosen = chosen;
    const photo = JSON.stringify(boxes);
    if (this.#photo === photo) {
      this.#mark();
      return;
    }
    this.#photo = photo;
    this.#element.hidden = true;
    if (boxes.length < 2) return;
    const answer = await this.#fetchPhoto();
    if (!answer.ok || this.#photo !== photo) return; // another photo came meanwhile
    URL.revokeObjectURL(this.#image.src);
    this.#image.src = URL.createObjectURL(await answer.blob());
    const buttons = boxes.map((box, at) => this.#makeButton(box, at + 1, boxes.length));
    this.#image.parentElement.replaceChildren(this.#image, ...buttons);
    this.#words.textContent = `There are ${boxes.length} faces in your photo. Choose the one to animate:`;
    this.#element.hidden = false;
    this.#mark();
  }

  #makeButton([left, top, width, height], number, count) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.face = number;
    button.setAttribute("aria-label", `Face ${number} of ${count}, counted from the left`);
    button.append(Object.assign(document.createElement("span"), { textContent: number }));
    for (const [side, share] of Object.entries({ left, top, width, height })) button.style[side] = `${100 * share}%`;
    button.addEventListener("click", () => this.#choose(number));
    return button;
  }

  #mark() {
    for (const button of this.#element.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.face) === this.#chosen));
    }
  }
}
