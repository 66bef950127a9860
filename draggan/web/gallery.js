// Small pictures to choose from: props.pictures [{src, title}]. 'pick' {index} says which was chosen.
const list = element.querySelector('.gallery');

function show() {
  list.replaceChildren(...props.pictures.map(({ src, title: english }, index) => {
    const title = window.draggan.say({ text: english });
    const button = document.createElement('button');
    const picture = Object.assign(document.createElement('img'), { src, alt: '' });
    Object.assign(button, { type: 'button', title });
    button.append(picture, title);
    button.addEventListener('click', () => trigger('pick', { index }));
    return button;
  }));
}

watch('pictures', show);
show();
